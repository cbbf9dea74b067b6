"""`sppkit check` as a person or a CI server runs it."""

import json
import subprocess
import sys
from xml.etree import ElementTree

import pytest
import torch
from torch import nn

import sppkit
from sppkit.cli.output_file import written_by_sppkit
from sppkit.formats import FORMATS

FAST = ("--seeds", "2", "--maximum-seeds", "2")


def test_a_network_without_parameters_is_told_that_there_is_nothing_to_train(spp, write):
    name = write("from torch import nn\nmodel = nn.Sequential(nn.ReLU(), nn.Tanh())\n")
    assert "note: it has no parameters" in spp("check", name, "-s", "8", *FAST).stdout
    name = write("from torch import nn\nmodel = nn.Linear(8, 8)\n")
    assert "no parameters" not in spp("check", name, "-s", "8", *FAST).stdout


def test_a_recorded_training_is_judged_at_its_first_step_and_that_is_said(spp):
    model = nn.Linear(8, 8)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    with sppkit.record(model, optimizer=optimizer) as recording:
        for _ in range(3):
            model(torch.randn(16, 8)).square().mean().backward()
            optimizer.step()
    recording.save("run.parquet")
    said = "note: judged at step 0, the first of 3 that were recorded; sppkit report shows all"
    assert said in spp("check", "run.parquet").stdout


def test_a_healthy_network_passes(spp, chain):
    result = spp("check", chain, *FAST)
    assert result.stdout.startswith("net.py: pass (")
    assert result.stdout.endswith("1 target, 1 passed.\n")


def test_a_sick_network_fails_with_place_reason_and_advice(spp, sick):
    text = spp("check", sick, *FAST, code=1).stdout
    assert text.startswith("sick.py: fail (")
    for part in ("error SPP101 at ", "advice: Multiply", "defined in sick.py:4"):
        assert part in text


def test_findings_can_be_reported_without_failing(spp, sick):
    assert "fail (" in spp("check", sick, *FAST, "--exit-zero").stdout


def test_exit_zero_does_not_hide_what_is_broken_or_unseen(spp, write):
    spp("check", "nowhere.py", "--exit-zero", code=2)
    decision = """
        from torch import nn

        class Decision(nn.Module):
            def forward(self, x):
                return x.argmax(-1)
    """
    spp("check", write(decision, "d.py"), "-s", "4", *FAST, "--exit-zero", code=5)


def test_of_several_targets_the_broken_one_is_told_beside_the_others(spp, chain, sick):
    result = spp("check", chain, "nowhere.py", sick, *FAST, code=2)
    assert "net.py: pass" in result.stdout
    assert "nowhere.py: error\n  'nowhere.py' does not exist" in result.stdout
    assert "sick.py: fail" in result.stdout
    assert "3 targets, 1 passed, 1 failed, 1 could not be checked." in result.stdout
    entries = json.loads(
        spp("check", chain, "nowhere.py", *FAST, "--output-format", "json", code=2).stdout
    )
    assert [entry["verdict"] for entry in entries] == ["pass", "error"]


def test_a_model_that_ends_the_program_breaks_its_own_target_alone(spp, chain, write):
    net = """
        import sys
        from torch import nn

        class Net(nn.Module):
            def forward(self, x):
                sys.exit(0)
    """
    text = spp("check", write(net, "ends.py"), chain, "-s", "8", *FAST, code=2).stdout
    assert "ended the program" in text
    assert "net.py: pass" in text


def test_rules_are_selected_and_ignored_as_ruff_does(spp, sick):
    def asked(*flags):
        arguments = ("check", sick, *FAST, *flags, "--output-format", "json", "--exit-zero")
        found = json.loads(spp(*arguments).stdout)
        codes = {f["code"] for f in found["findings"]} | {s["code"] for s in found["skipped"]}
        return codes | set(found["passed"])

    assert asked("--select", "SPP101") == {"SPP101"}
    assert {code[:4] for code in asked("--select", "SPP2,SPP4")} == {"SPP2", "SPP4"}
    without = asked("--ignore", "SPP1,SPP001")
    assert without
    assert not {code for code in without if code.startswith(("SPP1", "SPP001"))}
    assert asked("--select", "SPP4", "--extend-select", "SPP101") >= {"SPP101", "SPP401"}
    assert asked("--select", "SPP902") == set()


def test_an_unknown_code_names_the_nearest_before_anything_is_measured(fails, sick):
    assert "Did you mean 'SPP107'?" in fails("check", sick, "--select", "SPP1O7")
    assert "'XYZ'" in fails("check", sick, "--ignore", "XYZ")


def test_warnings_fail_where_that_is_asked(spp, sick):
    flags = ("check", sick, *FAST, "--select", "SPP103")
    assert "pass (1 warning" in spp(*flags).stdout
    assert "fail (1 warning" in spp(*flags, "--fail-on", "warning", code=1).stdout


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_goes_to_a_file_that_is_known_as_ours(form, spp, sick, folder):
    arguments = ("check", sick, *FAST, "--output-format", form, "--output-file", "out")
    result = spp(*arguments, code=1, writes=["out"])
    assert result.stdout == ""
    assert "Written to out" in result.stderr
    assert written_by_sppkit(folder / "out")
    spp(*arguments, code=1, writes=["out"])


def test_a_file_of_others_is_replaced_by_force_alone(spp, fails, chain, folder):
    (folder / "mine.txt").write_text("my notes on sppkit 0.1.0\n")
    arguments = ("check", chain, *FAST, "--output-file", "mine.txt")
    assert "--force" in fails(*arguments)
    spp(*arguments, "--force")
    assert "net.py: pass" in (folder / "mine.txt").read_text()
    assert "no folder" in fails("check", chain, "--output-file", "nowhere/out")


def test_a_dash_is_standard_output(spp, chain, folder):
    text = spp("check", chain, *FAST, "--output-format", "json", "--output-file", "-").stdout
    assert json.loads(text)["verdict"] == "pass"
    assert not (folder / "-").exists()


def test_an_empty_file_may_be_written_to(spp, chain, folder):
    (folder / "out").touch()
    spp("check", chain, *FAST, "--output-file", "out")
    assert "pass (" in (folder / "out").read_text()


def test_only_results_go_to_standard_output(spp, sick):
    result = spp("check", sick, *FAST, "--output-format", "junit", code=1)
    assert int(ElementTree.fromstring(result.stdout).get("failures")) >= 1
    assert result.stderr == ""


def test_statistics_count_findings_by_rule(spp, fails, sick):
    first = spp("check", sick, *FAST, "--statistics", code=1).stdout.splitlines()[0]
    assert first.startswith("1  SPP")
    assert "text or json" in fails("check", sick, "--statistics", "--output-format", "sarif")


def test_a_fix_is_tried_and_told_before_and_after(spp, sick):
    text = spp("check", sick, *FAST, "--try-fix", "--select", "SPP101", code=1).stdout
    assert "tried scale initialisation by 0." in text
    assert "helped (fail -> pass" in text


def test_a_recording_is_judged_without_its_model(spp, fails, folder):
    sppkit.probe(nn.Linear(8, 8), input_size=(8,), seeds=2, run="layer").save("a.parquet")
    text = spp("check", "a.parquet").stdout
    assert text.startswith("a.parquet: pass (")
    assert "name the model" in spp("check", "a.parquet", "--try-fix", code=2).stdout


def test_every_run_of_a_recording_is_judged(spp, folder):
    one = sppkit.probe(nn.Linear(8, 8), input_size=(8,), seeds=2, run="one")
    two = sppkit.probe(nn.Linear(8, 8), input_size=(8,), seeds=2, run="two")
    sppkit.combine([one, two]).save("both.parquet")
    text = spp("check", "both.parquet").stdout
    assert "both.parquet: one: pass" in text
    assert "both.parquet: two: pass" in text


@pytest.mark.parametrize("form", FORMATS)
def test_hostile_names_of_a_recording_stay_text(form, spp, folder):
    hostile = "\x1b[2J<b>\n::error::gone"
    model = nn.Sequential()
    model.add_module(hostile.replace(".", ""), nn.Linear(4, 4))
    nn.init.constant_(model[0].weight, float("nan"))
    sppkit.probe(model, input_size=(4,), seeds=2, run=hostile).save("a.parquet")
    output = spp("check", "a.parquet", "--output-format", form, "-v", code=1).output
    assert "\x1b" not in output
    for line in map(str.lstrip, output.splitlines()):
        assert not line.startswith("::") or form == "github", line
        assert not line.startswith("::error::gone"), line


def test_judging_a_recording_needs_no_torch(folder):
    sppkit.probe(nn.Linear(8, 8), input_size=(8,), seeds=2).save("a.parquet")
    code = (
        "import sys\n"
        "from sppkit.cli import app\n"
        "for line in (['check', 'a.parquet'], ['diff', 'a.parquet', 'a.parquet']):\n"
        "    try:\n"
        "        app(line)\n"
        "    except SystemExit as end:\n"
        "        assert not end.code, end.code\n"
        "assert 'torch' not in sys.modules"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr


def test_a_loss_of_the_user_takes_the_place_of_ours(spp, chain, write):
    write("def square(output, labels):\n    return output.square().sum()\n", "losses.py")
    arguments = ("check", chain, *FAST, "--loss", "losses.py:square", "--output-format", "json")
    loss = json.loads(spp(*arguments).stdout)["settings"]["loss"]
    assert "cross-entropy" not in json.dumps(loss)


def test_colours_are_used_on_request_alone(spp, chain):
    assert "\x1b[" not in spp("check", chain, *FAST).stdout
    assert "\x1b[" in spp("check", chain, *FAST, "--color", "always").stdout


def test_without_a_target_and_without_models_the_next_step_is_told(fails):
    message = fails("check")
    assert "[[tool.sppkit.model]]" in message
    assert "sppkit check model.py" in message


def test_verbose_tells_what_passed(spp, chain):
    text = spp("check", chain, *FAST, "-v").stdout
    assert "  passed: " in text
    assert "  skipped SPP" in text


def test_a_gate_whose_rules_do_not_apply_is_not_green(spp, write):
    write(
        """
        from torch import nn
        def build_model(): return nn.Linear(8, 8)
        INPUT_SIZE = (8,)
        """
    )
    result = spp("check", "net.py", "--select", "SPP101", "--seeds", "2", code=5)
    assert "Every rule that was asked was skipped, so nothing was judged (SPP101: " in result.stdout
