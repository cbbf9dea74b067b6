"""Tell Weights & Biases of a recording.

WandbTracker().follow(recording)
"""

import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sppkit.early_warning.event import Event
from sppkit.integrations.libraries import library
from sppkit.integrations.tracker import FIGURE, Tracker, described, run_of
from sppkit.rules.finding import Severity

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STEP = "spp.step"
"""The axis of all that is written: steps of the optimiser taken before."""

_LONGEST_TITLE = 63  # of an alert


class WandbTracker(Tracker):
    """Write scalars, figures and early warnings (as alerts) into a run of Weights & Biases.

    What is written has an axis of its own, ``spp.step``, so that the run's own steps may count
    anything. Each recorded step is a row of the run's history. A loop that numbers the rows itself,
    as by ``run.log(values, step=step)``, says so by ``numbered=True``: W&B drops rows whose numbers
    are not ascending, and with that ours are numbered by the optimiser's steps as well.

    Args:
        run: the run; by default ``wandb.run``, the latest of `wandb.init`.
        numbered: give rows of the history the number of the step.
        options: of `sppkit.integrations.tracker.Tracker`.

    Raises:
        LibraryError: wandb is missing.
        ValueError: a pattern of `scalars` matches nothing that there is.
    """

    def __init__(self, run: Any = None, *, numbered: bool = False, **options: Any) -> None:
        library("wandb", "wandb")
        super().__init__(**options)
        self._given, self._numbered = run, numbered
        self._run: Any = None

    def _open(self) -> None:
        found = self._given if self._given is not None else library("wandb", "wandb").run
        self._run = run_of(found, "Weights & Biases", "call wandb.init() first, or give run=")
        self._run.define_metric(STEP, hidden=True)
        self._run.define_metric(f"{self._choice[-1]}*", step_metric=STEP)
        self._run.define_metric(FIGURE, step_metric=STEP)

    def _log(self, values: Mapping[str, Any], step: int) -> None:
        self._run.log({STEP: step, **values}, step=step if self._numbered else None)

    def _write_scalars(self, scalars: Mapping[str, float], step: int) -> None:
        self._log(scalars, step)

    def _write_figure(self, name: str, figure: "Figure", step: int) -> None:
        from PIL import Image

        picture = io.BytesIO()
        figure.savefig(picture, format="png")
        self._log({name: library("wandb", "wandb").Image(Image.open(picture))}, step)

    def _write_event(self, event: Event) -> None:
        levels = library("wandb", "wandb").AlertLevel
        level = levels.ERROR if event.severity is Severity.ERROR else levels.WARN
        title = f"{event.code} {event.kind}"[:_LONGEST_TITLE]
        self._run.alert(title, described(event), level=level)
