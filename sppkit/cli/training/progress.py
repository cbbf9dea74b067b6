"""A bar for each run, on a terminal; nothing in a pipe."""

import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sppkit.cli.console import Color, remarks
from sppkit.escaping import one_line

if TYPE_CHECKING:
    from sppkit.training.outcome import Progress

_FIELDS = ("loss", "accuracy", "time", "recording", "finding")


@contextmanager
def progress_of(
    runs: int, *, shown: bool, color: Color
) -> Iterator[Callable[[str], Callable[["Progress"], None]]]:
    """Show bars while the block runs; yield what begins one, which gives what moves it."""
    if not (shown and sys.stderr.isatty()):
        yield lambda name: lambda progress: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    fields = (TextColumn(f"{{task.fields[{name}]}}", markup=False) for name in _FIELDS)
    columns = (TextColumn("{task.fields[name]}", markup=False), BarColumn(bar_width=20))
    with Bars(
        *columns, MofNCompleteColumn(), TimeRemainingColumn(), *fields, console=remarks(color)
    ) as bars:

        def begin(name: str) -> Callable[["Progress"], None]:
            empty: dict[str, Any] = dict.fromkeys(_FIELDS, "")
            task = bars.add_task("", total=None, name=one_line(name), **empty)

            def move(progress: "Progress") -> None:
                fields: dict[str, Any] = described(progress)
                bars.update(task, total=progress.steps, completed=progress.step, **fields)

            return move

        yield begin


def described(progress: "Progress") -> dict[str, str]:
    """Say in words what stands behind a bar."""
    overhead, accuracy = progress.overhead, progress.accuracy
    return {
        "loss": "" if math.isnan(progress.loss) else f"loss {progress.loss:.3g}",
        "accuracy": "" if accuracy is None else f"accuracy {accuracy:.3f}",
        "time": _unless_nan(1000 * progress.step_seconds, "{:.3g} ms/step"),
        "recording": _unless_nan(100 * overhead, "recording {:+.0f} %"),
        "finding": one_line(progress.finding),
    }


def _unless_nan(value: float, form: str) -> str:
    return "" if math.isnan(value) else form.format(value)
