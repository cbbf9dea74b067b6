"""What goes wrong is told in one message with the next step, and leaves no file behind."""

from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from sppkit.cli import app

ONE = ("--seeds", "1")


def test_a_missing_file_is_named(fails):
    assert "'nowhere.py'" in fails("plot", "nowhere.py")


def test_a_near_file_is_suggested(fails, chain):
    assert "net.py" in fails("plot", "nets.py")


def test_a_failing_import_is_told_with_its_line(fails, write):
    message = fails("plot", write("import torch\n\nimport no_such_library\n"))
    assert "no_such_library" in message
    assert "net.py, line 3" in message


def test_a_file_without_a_model_says_what_is_looked_for(fails, write):
    assert "build_model()" in fails("plot", write("x = 1\n"))


def test_several_candidates_are_listed(fails, write):
    message = fails(
        "plot",
        write(
            """
            from torch import nn

            class First(nn.Linear):
                def __init__(self):
                    super().__init__(2, 2)

            class Second(First):
                pass
            """
        ),
    )
    assert "net.py:First" in message
    assert "net.py:Second" in message


def test_missing_constructor_arguments_are_named_with_their_flag(fails, write):
    net = """
        from torch import nn

        class Net(nn.Linear):
            def __init__(self, width):
                super().__init__(width, 2)
    """
    name = write(net)
    assert "-k width=" in fails("plot", name)
    assert "did you mean" in fails("plot", name, "-k", "widht=3", "-k", "width=3").lower()


def test_a_malformed_argument_is_shown(fails, chain):
    assert "key=value" in fails("plot", chain, "-k", "width")


def test_an_argument_without_its_flag_is_no_target(fails, chain):
    wanted = "error: 'width=3' is no target. Each argument has a flag of its own: -k width=3.\n"
    assert fails("plot", chain, "width=3") == wanted


def test_an_unknown_input_size_is_guessed_from_the_first_layer(fails, write):
    net = "from torch import nn\nmodel = nn.Sequential(nn.Conv2d(3, 8, 3))\n"
    assert "-s 3,64,64" in fails("plot", write(net))


def test_a_wrong_input_size_shows_what_the_model_said_and_what_was_tried(fails, chain):
    message = fails("plot", chain, "-s", "9", *ONE)
    assert "Net in net.py" in message
    assert "mat1 and mat2" in message
    assert "(2, 9)" in message


def test_what_is_no_size_is_shown(fails, chain):
    assert "'-s 3;4' is no size" in fails("plot", chain, "-s", "3;4")


def test_a_token_model_without_vocabulary_is_told_the_flags(fails, write):
    net = "from torch import nn\nmodel = nn.Sequential(nn.Embedding(7, 4), nn.Linear(4, 2))\n"
    name = write(net)
    assert "--vocab" in fails("plot", name, "-s", "5", *ONE)
    assert "--vocab" in fails("plot", name, "-s", "5", "--input-dtype", "int", *ONE)
    assert "--vocab 7" in fails("plot", name)


def test_a_model_that_returns_no_tensor_is_told_so(fails, write):
    net = """
        from torch import nn

        class Net(nn.Module):
            def forward(self, x):
                return "done"
    """
    assert "no tensor" in fails("plot", write(net), "-s", "4", *ONE)


def test_an_unknown_input_and_loss_list_the_valid_ones(fails, chain):
    assert "pink" in fails("plot", chain, "--input", "pinc", *ONE)
    assert "cross-entropy" in fails("plot", chain, "--loss", "crossentropy", *ONE)


def test_a_pattern_without_a_match_is_an_error(fails, chain):
    assert "matched no layer" in fails("plot", chain, "--include", "conv*", *ONE)


@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_an_absent_device_is_an_error(device, fails, chain, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    message = fails("plot", chain, "--device", device)
    assert "available: cpu" in message


def test_an_output_that_cannot_be_written_is_refused_before_measuring(fails, chain, folder):
    assert "no folder" in fails("plot", chain, "-o", "nowhere/a.png")
    assert ".svg" in fails("plot", chain, "-o", "a.jpg")
    assert ".parquet" in fails("plot", chain, "--save-recording", "a.csv")
    (folder / "a.png").mkdir()
    assert "is a folder" in fails("plot", chain, "-o", "a.png")


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a folder nobody may write to")
def test_a_read_only_folder_is_said(fails, chain):
    assert "cannot be written" in fails("plot", chain, *ONE, "-o", "/proc/a.png")


def test_a_recording_that_is_none_is_refused(fails, folder):
    (folder / "a.parquet").write_bytes(b"nothing")
    assert "no readable parquet" in fails("plot", "a.parquet")
    assert "there is no recording" in fails("plot", "b.parquet")


def test_a_folder_without_a_recording_is_refused(fails, folder):
    (folder / "package").mkdir()
    assert "recording.parquet" in fails("plot", "package")


def test_running_out_of_memory_is_told_with_smaller_sizes(fails, write):
    net = """
        import torch
        from torch import nn

        class Net(nn.Module):
            def forward(self, x):
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB")
    """
    message = fails("plot", write(net), "-s", "4", *ONE)
    assert message.startswith("error: out of memory: CUDA out of memory")
    assert "-b" in message


def test_ctrl_c_leaves_with_130_and_no_file(fails, write):
    net = """
        from torch import nn

        class Net(nn.Module):
            def forward(self, x):
                raise KeyboardInterrupt
    """
    assert "interrupted" in fails("plot", write(net), "-s", "4", *ONE, code=130)


def test_a_model_that_ends_the_program_is_no_success(fails, write):
    net = """
        import sys
        from torch import nn

        class Net(nn.Module):
            def forward(self, x):
                sys.exit(0)
    """
    assert "ended the program" in fails("plot", write(net), "-s", "4", *ONE)


def test_the_second_target_is_looked_up_before_the_first_is_measured(fails, write):
    net = """
        from torch import nn

        class Net(nn.Module):
            def forward(self, x):
                raise AssertionError("was measured")
    """
    assert "was measured" not in fails("plot", write(net), "nowhere.py", "-s", "4")


def test_verbose_shows_the_traceback(write):
    result = CliRunner().invoke(app, ["plot", write("import no_such_library\n"), "-v"])
    assert result.exit_code == 2
    assert "Traceback" in result.stderr
    assert result.stderr.splitlines()[-1].startswith("error: ")
