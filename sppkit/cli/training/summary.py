"""How runs ended, in a table."""

import math
import statistics
from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from sppkit.cli.runs.cells import duration, spread
from sppkit.escaping import one_line
from sppkit.training.outcome import FINISHED, Outcome

_HEADINGS = (
    *("run", "seeds", "test\naccuracy", "test\nloss"),
    *("ended", "time", "step", "over-\nhead"),
)


def outcome_table(outcomes: Sequence[Outcome]) -> Table:
    """Lay outcomes out, one line for each run; several seeds as mean±standard deviation."""
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for heading in _HEADINGS:
        table.add_column(heading, overflow="fold", no_wrap=heading != "run", vertical="bottom")
    for run in dict.fromkeys(outcome.run for outcome in outcomes):
        table.add_row(*map(Text, _cells(run, [o for o in outcomes if o.run == run])))
    return table


def _cells(run: str, outcomes: Sequence[Outcome]) -> tuple[str, ...]:
    ended = [outcome.ended for outcome in outcomes]
    others = [f"{ended.count(word)} {word}" for word in dict.fromkeys(ended) if word != FINISHED]
    return (
        one_line(run),
        str(len(outcomes)),
        spread([outcome.test_accuracy for outcome in outcomes], ".3f"),
        spread([outcome.test_loss for outcome in outcomes], ".2g"),
        ", ".join(others) or FINISHED,
        duration(sum(outcome.seconds for outcome in outcomes)),
        f"{_mean([1000 * outcome.step_seconds for outcome in outcomes]):.3g} ms",
        _share(_mean([outcome.overhead for outcome in outcomes])),
    )


def _mean(values: Sequence[float]) -> float:
    finite = [value for value in values if math.isfinite(value)]
    return statistics.fmean(finite) if finite else math.nan


def _share(value: float) -> str:
    return "-" if math.isnan(value) else f"{100 * value:+.0f} %"
