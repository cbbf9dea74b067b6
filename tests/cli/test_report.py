"""`sppkit report`, and the page that `sppkit train` leaves in each run folder."""

import json
import re

import pytest

import sppkit
from sppkit.plots.files import written_by_sppkit
from tests.plots.baseline_images import residual_network
from tests.report.test_page import Reader

FAST = ("--seeds", "2", "--maximum-seeds", "2")


def read(place):
    return Reader(place.read_text("utf-8"))


def verdicts(page):
    return re.findall(r"(pass|fail|nothing observed)\s", page.all("ul")[0]["text"])


def figures(page):
    return [element["data-figure"] for element in page.all("figure")]


def test_a_model_is_measured_judged_and_reported(chain, spp, folder):
    result = spp("report", chain, *FAST)
    assert result.stdout.splitlines() == ["report.html", "Net: pass"]
    assert written_by_sppkit(folder / "report.html")
    page = read(folder / "report.html")
    assert page.all("h1")[0]["text"] == "Net"
    assert page.by_id("command")["text"] == f"sppkit report {chain} --seeds 2 --maximum-seeds 2"
    assert len([e for e in page.all("tr") if e.get("id")]) == 4  # three layers, and the whole
    assert "cross-entropy" in page.by_id("circumstances")["text"]


def test_the_verdict_is_that_of_a_check_and_does_not_fail_the_command(sick, spp, folder):
    assert spp("report", sick, *FAST).stdout.splitlines()[1] == "Sick: fail"
    checked = json.loads(spp("check", sick, *FAST, "--output-format", "json", code=1).stdout)
    told = read(folder / "report.html").by_id("findings")["text"]
    assert {f["code"] for f in checked["findings"]} == set(
        re.findall(r"(?:error|warning|info) (SPP\d+)", told)
    )
    assert checked["findings"][0]["advice"] in told
    assert "sick.py:" in told


def test_rules_are_chosen_as_in_a_check(sick, spp, folder):
    spp("report", sick, *FAST, "--ignore", "ALL")
    assert "No rule found anything." in read(folder / "report.html").by_id("findings")["text"]


def test_several_targets_are_compared_on_one_page(chain, sick, spp, folder):
    result = spp("report", chain, sick, *FAST, "-o", "both.html", "--title", "Two <nets>")
    assert result.stdout.splitlines() == ["both.html", "Net: pass", "Sick: fail"]
    page = read(folder / "both.html")
    assert verdicts(page) == ["pass", "fail"]
    assert page.all("h1")[0]["text"] == "Two <nets>"
    assert "comparison" in figures(page)


def test_runs_of_one_name_are_told_apart(chain, spp, folder):
    assert spp("report", chain, chain, *FAST).stdout.splitlines()[1:] == [
        "Net: pass",
        "Net #2: pass",
    ]


def test_a_recording_is_reported_without_its_model(spp, folder):
    residual_network(steps=2).save(folder / "run.parquet")
    spp("report", "run.parquet")
    assert "map-activation" in [
        e["data-figure"] for e in read(folder / "report.html").all("figure")
    ]


def test_what_is_no_page_or_not_ours_is_refused(chain, fails, folder):
    assert "'a.png' must end in .html: a report is a page." in fails("report", chain, "-o", "a.png")
    (folder / "report.html").write_text("mine")
    assert "was not written by sppkit" in fails("report", chain, *FAST)
    assert "no-such" in fails("report", "no-such.py", "-o", "b.html")


def test_of_nothing_there_is_no_report(fails, folder):
    sppkit.Recording(metadata={"net": {}}).save(folder / "empty.parquet")
    error = fails("report", "empty.parquet", code=5)
    assert "nothing was observed of empty.parquet: there is nothing to report" in error


def test_commands_are_quoted_so_that_a_shell_reads_them_back(chain, spp, folder):
    spp("report", chain, *FAST, "--title", "it's mine; rm")
    told = read(folder / "report.html").by_id("command")["text"]
    assert told.endswith("""--title 'it'"'"'s mine; rm'""")


@pytest.fixture
def trained(chain, spp, write):
    """Two short trainings."""
    write(
        """
        from torch import nn

        class Wide(nn.Sequential):
            INPUT_SIZE = (1, 8, 8)

            def __init__(self, width=32):
                layers = nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10)
                super().__init__(nn.Flatten(), *layers)
        """,
        "wide.py",
    )
    command = (
        "train",
        "wide.py",
        "--epochs",
        1,
        "--every",
        30,
        "-b",
        32,
        "--lr",
        0.01,
        "--lr",
        0.02,
    )
    spp(*command)
    return command


def test_each_run_of_a_training_gets_its_page_and_all_of_them_one(trained, spp, folder):
    runs = sorted(path.parent for path in folder.glob("runs/*/run.json"))
    assert len(runs) == 2
    for run in runs:
        page = read(run / "report.html")
        assert page.by_id("command")["text"] == " ".join(["sppkit", *map(str, trained)])
        assert "map-weight-gradient" in figures(page)
        said = json.loads((run / "run.json").read_text())
        assert f"{said['outcome']['test_accuracy']:.3f}" in page.by_id("training")["text"]
        assert re.search(r"recipe\.learning_rate\s*0\.0[12]", page.by_id("circumstances")["text"])
    result = spp("report", "runs", *FAST)
    assert len(result.stdout.splitlines()) == 3
    assert "flags of measuring apply to models alone" in result.stderr
    page = read(folder / "report.html")
    assert len(verdicts(page)) == 2
    assert "comparison" in figures(page)


def test_a_training_that_recorded_nothing_has_no_page(trained, spp, folder):
    spp(*trained[:5], 0, *trained[6:], "--force")
    assert not list(folder.glob("runs/*/report.html"))
