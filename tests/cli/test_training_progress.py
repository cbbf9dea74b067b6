import io
import math

import pytest

from sppkit.cli.console import Color
from sppkit.cli.training.progress import described, progress_of
from sppkit.cli.training.summary import outcome_table
from sppkit.training.outcome import Outcome, Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def progress(**changes):
    return Progress(
        **{
            **{"step": 5, "steps": 10, "epoch": 1, "loss": 2.34567, "accuracy": 0.91234},
            **{"step_seconds": 0.0123, "overhead": 0.04, "finding": ""},
            **changes,
        }
    )


def outcome(**changes):
    return Outcome(
        **{
            **{"run": "net", "seed": 0, "ended": "finished", "steps": 10, "loss": 0.5},
            **{"test_loss": 0.25, "test_accuracy": 0.9, "seconds": 3.0},
            **{"step_seconds": 0.01, "overhead": 0.04, **changes},
        }
    )


def test_a_bar_tells_loss_accuracy_time_recording_and_the_latest_finding():
    assert described(progress(finding="the loss of step 3 is nan")) == {
        "loss": "loss 2.35",
        "accuracy": "accuracy 0.912",
        "time": "12.3 ms/step",
        "recording": "recording +4 %",
        "finding": "the loss of step 3 is nan",
    }
    nothing = progress(loss=math.nan, accuracy=None, step_seconds=math.nan, overhead=math.nan)
    assert set(described(nothing).values()) == {""}


def test_bars_are_shown_on_a_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    with progress_of(2, shown=True, color=Color.AUTO) as begin:
        for name in ("narrow", "wide"):
            begin(name)(progress())
    written = terminal.getvalue()
    for word in ("narrow", "wide", "5/10", "loss 2.35", "accuracy 0.912", "recording +4 %"):
        assert word in written


@pytest.mark.parametrize("shown", [True, False])
def test_nothing_is_shown_in_a_pipe_or_when_it_is_quiet(shown, monkeypatch, capsys):
    stream = io.StringIO() if shown else Terminal()
    monkeypatch.setattr("sys.stderr", stream)
    with progress_of(1, shown=shown, color=Color.AUTO) as begin:
        begin("net")(progress())
    assert stream.getvalue() == ""


def cells(outcomes):
    table = outcome_table(outcomes)
    return [str(column._cells[0]) for column in table.columns]


def test_seeds_are_told_as_mean_and_deviation_in_one_line():
    rows = [outcome(test_accuracy=0.8), outcome(seed=1, test_accuracy=0.9)]
    assert cells(rows)[:4] == ["net", "2", "0.850±0.071", "0.25±0"]
    assert cells(rows)[4:] == ["finished", "6.0 s", "10 ms", "+4 %"]


def test_runs_that_diverged_are_counted_and_numbers_that_are_none_are_not_averaged():
    rows = [outcome(), outcome(seed=1, ended="diverged", test_loss=math.inf, overhead=math.nan)]
    assert cells(rows)[3] == "not finite"
    assert cells(rows)[4] == "1 diverged"
    assert cells([outcome(test_accuracy=math.nan)])[2] == "-"
