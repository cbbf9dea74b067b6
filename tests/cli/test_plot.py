import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from PIL import Image
from torch import nn

import sppkit
from sppkit.cli.plot import default_path

ONE = ("--seeds", "1")

RESIDUAL = """
    import torch
    from torch import nn

    class Block(nn.Module):
        def __init__(self, gain):
            super().__init__()
            self.branch = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8))
            self.gain = nn.Parameter(torch.tensor(gain))

        def forward(self, x):
            return x + self.gain * self.branch(x)

    class Net(nn.Module):
        INPUT_SIZE = (8,)

        def __init__(self, gain=1.0):
            super().__init__()
            self.blocks = nn.Sequential(nn.Linear(8, 8), *(Block(gain) for _ in range(3)))
            self.forgotten = nn.Linear(2, 2)

        def forward(self, x):
            return self.blocks(x)
"""

HOSTILE = "<script>alert('x')</script> & $x^2 \x1b[2J"


def test_a_reference_is_plotted_as_the_readme_shows_it(spp, folder):
    result = spp("plot", "ref:nf_resnet20", *ONE)
    assert result.stdout.splitlines()[0] == "nf_resnet20-spp.png"
    assert "9 blocks" in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80
    assert "--activate" in result.stderr
    with Image.open(folder / "nf_resnet20-spp.png") as picture:
        assert picture.width > 1000
        assert picture.info["Software"] == f"sppkit {sppkit.__version__}"


@pytest.mark.parametrize("ending", ["png", "svg", "pdf", "html"])
def test_each_format_is_written_and_names_the_run(ending, spp, folder, chain):
    spp("plot", chain, *ONE, "-o", f"out.{ending}")
    content = (folder / f"out.{ending}").read_bytes()
    assert content.startswith(
        {"png": b"\x89PNG", "pdf": b"%PDF", "svg": b"<?xml", "html": b"<!DOCTYPE html>"}[ending]
    )
    if ending in ("svg", "html"):
        assert b">Net</text>" in content


def test_several_targets_overlay_in_one_figure(spp, folder, write):
    other = write(RESIDUAL, "other.py")
    result = spp("plot", "ref:mlp", "ref:sn_mlp", *ONE)
    assert result.stdout.startswith("mlp-vs-sn_mlp-spp.png\n")
    assert re.search(r"^mlp +9 layers ", result.stdout, re.MULTILINE)
    assert re.search(r"^sn_mlp +9 layers ", result.stdout, re.MULTILINE)
    result = spp("plot", other, other, *ONE, "-o", "two.svg")
    assert "Net #2" in result.stdout
    drawn = (folder / "two.svg").read_text()
    assert ">Net</text>" in drawn
    assert ">Net #2</text>" in drawn


def test_numbers_of_the_table_are_those_of_the_recording(spp, folder, write):
    result = spp("plot", write(RESIDUAL), *ONE, "--save-recording", "run.parquet")
    table = sppkit.read(folder / "run.parquet").table()
    blocks = table[(table["signal"] == "activation") & (table["tap"] == "block")]
    values = blocks.sort_values("block")["average_channel_variance"]
    assert f"{values.iloc[0]:.3g} -> {values.iloc[-1]:.3g}" in result.stdout
    assert f"{values.min():.3g}..{values.max():.3g}" in result.stdout


def test_numbers_of_the_table_stay_whole_on_a_narrow_terminal(spp, write, monkeypatch):
    wide = spp("plot", "ref:nf_resnet20", *ONE, "--activate").stdout
    (line,) = [line for line in wide.splitlines() if line.startswith("nf_resnet20 ")]
    name, depth, ends, numbers, branches, missing = re.split(" {2,}", line.rstrip())
    monkeypatch.setenv("COLUMNS", "40")
    narrow = spp("plot", "ref:nf_resnet20", *ONE, "--activate").stdout
    assert max(map(len, narrow.splitlines())) <= 40
    for heading, cell in {
        "run": name,
        "depth": depth,
        "first -> last": ends,
        "range": numbers,
        "residual branches": branches,
        "not captured": missing,
    }.items():
        assert re.search(rf"^{heading} +{re.escape(cell)} *$", narrow, re.MULTILINE)


def test_a_recording_is_plotted_without_its_model(spp, folder, write):
    name = write(RESIDUAL)
    first = spp("plot", name, *ONE, "--save-recording", "run.parquet", "-o", "a.svg")
    (folder / name).unlink()
    second = spp("plot", "run.parquet", "-o", "b.svg")
    assert "flags of measuring" not in second.stderr
    assert "flags of measuring" in spp("plot", "run.parquet", *ONE).stderr
    assert first.stdout.splitlines()[1:] == second.stdout.splitlines()[1:]
    assert (folder / "a.svg").read_bytes() == (folder / "b.svg").read_bytes()


@pytest.mark.parametrize("names", [["recording.parquet"], ["recording/part-0.parquet"]])
def test_a_run_directory_is_plotted(names, spp, folder):
    for name in names:
        path = folder / "run" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        sppkit.probe(nn.Linear(4, 4), input_size=(4,), seeds=1, run="net").save(path)
    assert spp("plot", "run").stdout.startswith("run-spp.png\n")


def test_the_parts_of_a_run_directory_are_one_run(spp, folder):
    (folder / "run/recording").mkdir(parents=True)
    for seed in range(2):
        part = sppkit.probe(nn.Linear(4, 4), input_size=(4,), seeds=1, seed=seed, run="net")
        part.save(folder / f"run/recording/part-{seed}.parquet")
    spp("plot", "run", "--save-recording", "whole.parquet")
    whole = sppkit.read(folder / "whole.parquet")
    assert whole.runs == ("net",)
    assert set(whole.table()["seed"]) == {0, 1}


def test_silent_gains_are_named_and_shown_by_activate(spp, write):
    name = write(RESIDUAL)
    silent = spp("plot", name, *ONE, "-k", "gain=0.0")
    assert "blocks.1.gain" in silent.stderr
    assert "--activate" in silent.stderr
    active = spp("plot", name, *ONE, "-k", "gain=0.0", "--activate")
    assert "set to one" in active.stderr


def test_what_was_not_captured_is_counted_and_explained(spp, write):
    result = spp("plot", write(RESIDUAL), *ONE)
    assert "1 not captured (forgotten): the module was never called" in result.stderr


def test_the_network_itself_has_a_name_in_remarks(spp, write):
    net = """
        from torch import nn

        class Net(nn.Module):
            INPUT_SIZE = (8,)

            def __init__(self):
                super().__init__()
                self.layer = nn.Linear(8, 4)

            def forward(self, x):
                return {} * self.layer(x){}
    """
    said = spp("plot", write(net.format("float('inf')", "")), *ONE).stderr
    assert "1 layer with values that are not finite, the first is the output" in said
    said = spp("plot", write(net.format(1, ".detach()")), *ONE).stderr
    assert "not captured (gradient of the output): " in said


def test_quiet_prints_the_path_alone(spp, write):
    result = spp("plot", write(RESIDUAL), *ONE, "--quiet")
    assert result.stdout == "Net-spp.png\n"
    assert result.stderr == ""


def test_colours_are_used_on_request_alone(spp, chain, monkeypatch):
    assert "\x1b[" not in spp("plot", chain, *ONE).output
    assert "\x1b[" in spp("plot", chain, *ONE, "--color", "always").output
    assert "\x1b[1;31merror:" in spp("plot", "nowhere.py", "--color", "always", code=2).stderr
    monkeypatch.setenv("FORCE_COLOR", "1")  # as if it were a terminal
    assert "\x1b[" not in spp("plot", chain, *ONE, "--color", "never").output
    assert "31m" in spp("plot", "nowhere.py", code=2).stderr
    monkeypatch.setenv("NO_COLOR", "1")
    assert "31m" not in spp("plot", "nowhere.py", code=2).stderr


def test_gradients_get_a_row_of_their_own(spp, folder, chain):
    spp("plot", chain, *ONE, "-o", "one.png")
    spp("plot", chain, *ONE, "-o", "two.png", "--gradient")
    with Image.open(folder / "one.png") as one, Image.open(folder / "two.png") as two:
        assert two.height > 1.5 * one.height


def test_our_own_file_is_replaced(spp, folder, chain):
    spp("plot", chain, *ONE)
    before = (folder / "Net-spp.png").stat().st_ino
    spp("plot", chain, *ONE)
    assert (folder / "Net-spp.png").stat().st_ino != before
    assert len(list(folder.iterdir())) == 2


def test_a_file_of_others_is_replaced_by_force_alone(spp, fails, folder, chain):
    for name in ("mine.png", "mine.html"):
        (folder / name).write_bytes(b"a photograph")
        assert "--force" in fails("plot", chain, *ONE, "-o", name)
        spp("plot", chain, *ONE, "-o", name, "--force")
        assert (folder / name).read_bytes() != b"a photograph"
    (folder / "mine.parquet").write_bytes(b"a table")
    assert "--force" in fails("plot", chain, *ONE, "--save-recording", "mine.parquet")


# ------------------------------------------------------------------------------- measuring flags


def test_the_input_size_of_an_instance_is_used(spp, write):
    net = """
        from torch import nn

        def build_model():
            net = nn.Sequential(nn.Linear(6, 3))
            net.input_size = (6,)
            return net
    """
    assert "1 layer" in spp("plot", write(net), *ONE).stdout


@pytest.mark.parametrize(
    ("first", "size"),
    [("nn.Conv2d(3, 8, 3)", "3x8x8"), ("nn.Linear(64, 8)", "64"), ("nn.Flatten()", "1x8x8")],
)
def test_digits_have_a_size_of_their_own(first, size, spp, folder, write):
    net = write(f"from torch import nn\nmodel = nn.Sequential({first}, nn.ReLU())\n")
    spp("plot", net, *ONE, "--input", "digits", "-o", "out.svg")
    assert f"size {size} " in (folder / "out.svg").read_text()


def test_tokens_are_drawn_where_a_vocabulary_is_given(spp, write):
    net = """
        from torch import nn

        model = nn.Sequential(nn.Embedding(7, 4), nn.Linear(4, 2))
    """
    assert "2 layers" in spp("plot", write(net), "-s", "5", "--vocab", "7", *ONE).stdout


def test_an_example_input_gives_all_arguments_of_a_forward(spp, folder, write):
    net = """
        import torch
        from torch import nn

        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.first, self.second = nn.Linear(3, 4), nn.Linear(5, 4)

            def forward(self, x, *, other):
                return self.first(x) + self.second(other)

        def example():
            return (torch.randn(6, 3),), {"other": torch.randn(6, 5)}
    """
    name = write(net)
    flags = ("--example-input", f"{name}:example", "--save-recording", "a.parquet")
    spp("plot", name, *flags, *ONE)
    recording = sppkit.read(folder / "a.parquet")
    assert recording.metadata["Net"]["input_shapes"] == [[6, 3], [6, 5]]
    assert {"first", "second"} < set(recording.table()["layer"])


def test_a_loss_of_the_user_starts_the_backward_pass(spp, folder, chain, write):
    write("def square(output, labels):\n    return output.square().sum()\n", "losses.py")
    spp("plot", chain, *ONE, "--loss", "losses.py:square", "--save-recording", "a.parquet")
    recording = sppkit.read(folder / "a.parquet")
    assert recording.metadata["Net"]["loss"] == "square"
    assert (recording.table()["signal"] == "gradient").any()


def test_the_measuring_flags_reach_the_probe(spp, folder, chain):
    flags = "-b 6 --input uniform --seed 3 --mode eval --amp bf16 --loss cross-entropy"
    spp("plot", chain, *flags.split(), "--seeds", "2", "--save-recording", "a.parquet")
    stated = sppkit.read(folder / "a.parquet").metadata["Net"]
    assert stated["input_shapes"] == [[6, 8]]
    assert stated["input"] == "uniform noise"
    assert stated["seeds"] == [3, 4]
    assert (stated["mode"], stated["amp"], stated["loss"]) == ("eval", "bf16", "cross-entropy")


def test_layers_are_included_by_name(spp, folder, chain):
    spp("plot", chain, *ONE, "--include", "0", "--save-recording", "a.parquet")
    assert set(sppkit.read(folder / "a.parquet").table()["layer"]) == {"0"}


# --------------------------------------------------------------------- results that are no errors


def test_nan_weights_are_a_result_that_is_said(spp, write):
    net = """
        from torch import nn

        model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
        nn.init.constant_(model[0].weight, float("nan"))
    """
    result = spp("plot", write(net), "-s", "4", *ONE)
    assert "not finite" in result.stdout
    assert "2 layers with values that are not finite, the first is 0" in result.stderr


def test_infinite_activations_are_a_result_that_is_said(spp, write):
    net = """
        import torch
        from torch import nn

        class Overflow(nn.Module):
            def forward(self, x):
                return x * torch.inf

        class Net(nn.Sequential):
            def __init__(self):
                super().__init__(nn.Linear(4, 4), Overflow(), nn.Linear(4, 4))
    """
    result = spp("plot", write(net), "-s", "4", *ONE)
    assert "the first is 1" in result.stderr


def test_a_dead_network_is_a_result_that_is_said(spp, write):
    net = """
        from torch import nn

        model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
        nn.init.constant_(model[0].bias, -1000.0)
    """
    result = spp("plot", write(net), "-s", "4", *ONE)
    assert "the output of 2 does not vary (variance 0)" in result.stderr


def test_a_network_without_parameters_is_drawn_layer_by_layer(spp, write):
    net = """
        from torch import nn

        model = nn.Sequential(nn.ReLU(), nn.Tanh())
    """
    result = spp("plot", write(net), "-s", "4", *ONE)
    assert "2 layers" in result.stdout
    assert "does not require a gradient" in result.stderr


def test_a_model_whose_tensors_cannot_be_read_observed_nothing(fails, write):
    net = """
        from torch import nn

        class Decision(nn.Module):
            def forward(self, x):
                return x.argmax(-1)

        model = Decision()
    """
    message = fails("plot", write(net), "-s", "4", *ONE, code=5)
    assert "empty" in message


def test_a_run_without_anything_to_draw_is_said_beside_another(spp, chain, write):
    net = """
        from torch import nn

        class Decision(nn.Module):
            def forward(self, x):
                return x > 0

        model = Decision()
    """
    other = write(net, "other.py")
    result = spp("plot", chain, other, "-s", "8", *ONE)
    assert "other: nothing was observed" in result.stderr
    assert "2 layers" in result.stdout


def test_hostile_names_stay_text(spp, folder, tmp_path_factory):
    model = nn.Sequential()
    model.add_module(HOSTILE.replace(".", ""), nn.Linear(4, 4))
    nn.init.constant_(model[0].weight, float("nan"))  # so that the layer is named on the plot
    recorded = sppkit.probe(model, input_size=(4,), seeds=1, run=HOSTILE)
    recorded.save(folder / "run.parquet")
    for ending in ("svg", "html", "png", "pdf"):
        printed = spp("plot", "run.parquet", "-o", f"out.{ending}").output
        assert "\x1b" not in printed
    page = (folder / "out.html").read_text()
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "\x1b" not in page
    drawn = ElementTree.parse(folder / "out.svg")
    assert any("<script>" in text for text in drawn.getroot().itertext())


def test_a_page_refers_to_no_other_file(spp, folder, chain):
    spp("plot", chain, *ONE, "-o", "out.html")
    page = (folder / "out.html").read_text()
    namespaces = ('"http://www.w3.org/2000/svg"', '"http://www.w3.org/1999/xlink"')
    for namespace in namespaces:  # names, which nobody fetches
        page = page.replace(namespace, "")
    assert "://" not in page
    assert "default-src 'none'" in page
    assert f'content="sppkit {sppkit.__version__}"' in page


def test_the_default_name_is_safe_and_bounded():
    assert str(default_path(["net"])) == "net-spp.png"
    assert str(default_path(["a", "b"])) == "a-vs-b-spp.png"
    for hostile in ("../../etc/x", "/abs", "a\nb", "..", "", "-o", "\x1b[2J", "a\0b"):
        path = default_path([hostile])
        assert path.parent.name == ""
        assert path.name.isprintable()
        assert path.name[0] not in ".-"
    for long in ("long" * 50, "\N{GREEK SMALL LETTER LAMDA}" * 200):
        assert len(default_path([long] * 9).name.encode()) < 200


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
@pytest.mark.parametrize("command", [("models",), ("rules", "--output-format", "json")])
def test_a_full_disk_behind_stdout_is_told(command, pytestconfig):
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "sppkit", *command],
            cwd=pytestconfig.rootpath,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 2
    assert done.stderr.startswith("error: standard output cannot be written: No space left")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="a shell of Unix closes stdout")
def test_a_closed_stdout_is_no_error(pytestconfig):
    line = f"exec {shlex.quote(sys.executable)} -m sppkit rules --output-format json >&-"
    done = subprocess.run(
        ["sh", "-c", line], cwd=pytestconfig.rootpath, stderr=subprocess.PIPE, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")


def test_what_the_code_of_a_person_prints_is_no_result(spp, write):
    net = """
        from torch import nn

        print("imported")

        class Net(nn.Module):
            INPUT_SIZE = (8,)

            def __init__(self):
                super().__init__()
                print("built")
                self.layer = nn.Linear(8, 4)

            def forward(self, x):
                print("called")
                return self.layer(x)
    """
    name = write(net)
    for arguments in (("plot", name, "-q"), ("check", name, "--output-format", "json")):
        result = spp(*arguments, *ONE)
        assert not {"imported", "built", "called"} & set(result.stdout.splitlines())
        assert {"imported", "built", "called"} <= set(result.stderr.splitlines())
    assert json.loads(result.stdout)["verdict"] == "pass"


def test_a_closed_pipe_is_silent(pytestconfig):
    command = [sys.executable, "-m", "sppkit", "models", "--output-format", "json"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=pytestconfig.rootpath, **pipes) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141
