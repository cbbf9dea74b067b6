"""What a run in training came to: accuracy, stability and cost, from the files of its folder."""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import numpy as np
import pandas as pd
from rich.table import Table
from rich.text import Text

from sppkit.cli.runs.cells import duration, spread
from sppkit.errors import TargetError
from sppkit.escaping import one_line

_WINDOW = 50  # steps before a step that say what its loss is to be compared with
_SPIKE = 2.0  # times the median of these, at least
_DEVIATIONS = 6.0  # robust ones, of the logarithm
_FIRST = 5  # steps that a median is taken of, at least
_NARROWEST_NAME = 12  # letters
_HEADINGS = (
    *("run", "seeds", "test\naccuracy", "best", "test\nloss"),
    *("ended", "spikes", "time", "ms per\nstep"),
)


@dataclass(frozen=True)
class TrainedRun:
    """One run folder in numbers.

    Attributes:
        run, seed: of it.
        accuracy, best_accuracy, test_loss: of the last evaluation, and the best accuracy of all.
        ended: "finished", "diverged", or "running" of a run that goes on or was interrupted.
        spikes: steps whose loss leaves what was usual; see `count_spikes`.
        seconds, step_seconds: of training and evaluating so far; median time of a step.
    """

    run: str
    seed: int
    accuracy: float
    best_accuracy: float
    test_loss: float
    ended: str
    spikes: int
    seconds: float
    step_seconds: float


def run_folders(place: Path) -> list[Path]:
    """List the run folders that a folder is or holds; none for other folders and files."""
    if (place / "run.json").is_file():
        return [place]
    return sorted(inner.parent for inner in place.glob("*/run.json")) if place.is_dir() else []


def read_run(folder: Path) -> TrainedRun:
    """Read the numbers of a run, also while it goes on.

    Raises:
        TargetError: its files cannot be read, or nothing was measured yet.
    """
    try:
        said = json.loads((folder / "run.json").read_bytes())
        metrics = pd.read_parquet(folder / "metrics.parquet")
        settings, state = said["settings"], str(said["state"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TargetError(
            f"'{folder}' is no run that can be read: {error}. A run that has just begun has its "
            "metrics after the first checkpoint."
        ) from error
    trained, tested = (metrics[metrics["phase"] == phase] for phase in ("train", "eval"))
    return TrainedRun(
        run=str(settings["run"]),
        seed=int(settings["seed"]),
        accuracy=_last(tested["accuracy"]),
        best_accuracy=float(tested["accuracy"].max()) if len(tested) else math.nan,
        test_loss=_last(tested["loss"]),
        ended=state,
        spikes=count_spikes(trained["loss"].to_numpy(float)),
        seconds=float(metrics["seconds"].sum()),
        step_seconds=float(trained["seconds"].median()) if len(trained) else math.nan,
    )


def count_spikes(losses: np.ndarray) -> int:
    """Count the steps whose loss leaves what was usual in the fifty steps before; see `spikes`.

    >>> count_spikes(np.array([1.0] * 10 + [2.5, 1.0, float("nan")]))
    2
    """
    return int(spikes(losses).sum())


def spikes(losses: np.ndarray) -> np.ndarray:
    """Say of each step whether its loss leaves what was usual in the fifty steps before.

    With l = log(loss), m the median of the fifty and s = 1.4826 median(|l - m|), a spike is

        l > m + max(log 2, 6 s), or a loss that is not finite

    so that batches of a few samples, whose losses differ by more than a factor of 2, are none.
    Medians are of finite losses above 0, five at least.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        logarithms = np.log(losses)
    logarithms = np.where(np.isfinite(logarithms), logarithms, np.nan)
    before = np.concatenate([np.full(_WINDOW, np.nan), logarithms])[: len(losses) + _WINDOW - 1]
    if not len(losses):
        return np.zeros(0, dtype=bool)
    windows = np.lib.stride_tricks.sliding_window_view(before, _WINDOW)
    is_known = np.isfinite(windows).sum(1) >= _FIRST
    usual = np.full(len(losses), np.inf)
    usual[is_known] = _highest_usual(windows[is_known])
    found: np.ndarray = ~np.isfinite(losses) | (logarithms > usual)
    return found


def _highest_usual(windows: np.ndarray) -> np.ndarray:
    median = np.nanmedian(windows, 1, keepdims=True)
    deviation = 1.4826 * np.nanmedian(np.abs(windows - median), 1)
    highest: np.ndarray = median[:, 0] + np.maximum(math.log(_SPIKE), _DEVIATIONS * deviation)
    return highest


def runs_table(runs: Sequence[TrainedRun]) -> Table:
    """Lay runs out, one line for each; several seeds as mean±standard deviation."""
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for heading in _HEADINGS:
        is_name = heading == "run"
        least = _NARROWEST_NAME if is_name else None
        table.add_column(heading, min_width=least, no_wrap=not is_name, overflow="fold")
    for cells in runs_in_words(runs)[1]:
        table.add_row(*map(Text, cells))
    return table


def runs_in_words(
    runs: Sequence[TrainedRun],
) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """Give the headings of the columns, and a text for each of them for each run."""
    names = dict.fromkeys(run.run for run in runs)
    rows = (_cells(name, [run for run in runs if run.run == name]) for name in names)
    return tuple(heading.replace("\n", " ") for heading in _HEADINGS), tuple(map(tuple, rows))


def outcomes(runs: Sequence[TrainedRun]) -> dict[str, str]:
    """Say in a few words what the training of each run came to."""
    found = {}
    for name in dict.fromkeys(run.run for run in runs):
        own = [run for run in runs if run.run == name]
        accuracies = [run.accuracy for run in own]
        is_classifier = not all(map(math.isnan, accuracies))
        measured = (
            f"test accuracy {spread(accuracies, '.3f')}"
            if is_classifier
            else f"test loss {spread([run.test_loss for run in own], '.2g')}"
        )
        found[name] = f"training {', '.join(_counted([run.ended for run in own]))}: {measured}"
    return found


def _cells(name: str, runs: Sequence[TrainedRun]) -> Iterator[str]:
    yield one_line(name)
    yield str(len(runs))
    yield spread([run.accuracy for run in runs], ".3f")
    yield spread([max(run.best_accuracy for run in runs)], ".3f")
    yield spread([run.test_loss for run in runs], ".2g")
    yield ", ".join(_counted([run.ended for run in runs]))
    yield str(sum(run.spikes for run in runs))
    yield duration(sum(run.seconds for run in runs))
    yield f"{1000 * fmean(run.step_seconds for run in runs):.3g}"


def _counted(words: Sequence[str]) -> Iterator[str]:
    """Count words; one that all share stands alone."""
    for word in dict.fromkeys(words):
        yield word if len(set(words)) == 1 else f"{words.count(word)} {word}"


def _last(values: pd.Series) -> float:
    return float(values.iloc[-1]) if len(values) else math.nan
