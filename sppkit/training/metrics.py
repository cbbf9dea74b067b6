"""The numbers of a run, a row per step and per evaluation; the device is asked for them rarely."""

import math
from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from sppkit.training.clipping import GradientClipping

COLUMNS = {
    "run": "string",
    "seed": "int64",
    "step": "int64",
    "epoch": "float64",
    "phase": "string",
    "loss": "float64",
    "accuracy": "float64",
    "samples": "int64",
    "learning_rate": "float64",
    "clipped_fraction": "float64",
    "seconds": "float64",
    "is_recorded": "boolean",
}


_WINDOW = 1000  # latest rows from which times are estimated


@dataclass(frozen=True)
class Row:
    """One step, or one evaluation.

    Attributes:
        step: steps of the optimiser taken before.
        epoch: epochs done before, with the part of the present one.
        phase: "train" or "eval".
        loss: mean over the samples; of a step before it is taken.
        accuracy: share of the samples that was right; NaN where there are no classes.
        samples: in it.
        learning_rate: of the first group of parameters.
        clipped_fraction: of the units that the clipping looks at in this step.
        seconds: from the beginning of the step to that of the next one; of a device that works on
            its own only the mean over many steps has a meaning.
        is_recorded: whether the signals were recorded in it.
    """

    step: int
    epoch: float
    phase: str
    loss: float
    accuracy: float
    samples: int
    learning_rate: float
    clipped_fraction: float
    seconds: float
    is_recorded: bool


class Metrics:
    """Rows, of which the latest wait on the device.

    Args:
        run, seed: written to each row.
        earlier: rows of a run that is resumed.
        clipping: whose counts are taken for the rows, and forgotten by it.
    """

    def __init__(
        self,
        run: str,
        seed: int,
        earlier: pd.DataFrame | None = None,
        clipping: GradientClipping | None = None,
    ) -> None:
        self._clipping = clipping
        self._run, self._seed = run, seed
        columns = [name for name in COLUMNS if name not in ("run", "seed")]
        known = earlier[columns].to_dict("records") if earlier is not None and len(earlier) else []
        self.rows = [Row(**{str(name): value for name, value in row.items()}) for row in known]
        self._waiting: list[tuple[dict[str, Any], Tensor, Tensor]] = []

    def __len__(self) -> int:
        """Count the rows, with those that wait."""
        return len(self.rows) + len(self._waiting)

    def add_step(self, loss: Tensor, right: Tensor, **row: Any) -> None:
        """Add a step, whose loss and number of right answers stay on their device for now."""
        self._waiting.append((row, loss, right))

    def add_evaluation(self, row: Row) -> None:
        """Add an evaluation."""
        self.settle()
        self.rows.append(row)

    def settle(self) -> None:
        """Fetch what waits."""
        if not self._waiting:
            return
        values = torch.stack(
            [torch.stack([loss.float(), right.float()]) for _, loss, right in self._waiting]
        ).tolist()
        rates = self._clip_rates()
        for (row, _, _), (loss, right), clipped in zip(self._waiting, values, rates, strict=True):
            measured = {"loss": loss, "accuracy": right / row["samples"]}
            self.rows.append(Row(phase="train", clipped_fraction=clipped, **measured, **row))
        self._waiting.clear()

    def _clip_rates(self) -> list[float]:
        if self._clipping is None:
            return [math.nan] * len(self._waiting)
        rates = self._clipping.step_rates()
        self._clipping.reset()  # it would keep a number of every step
        return rates

    def frame(self) -> pd.DataFrame:
        """Give all rows."""
        self.settle()
        shared = {"run": self._run, "seed": self._seed}
        own = [name for name in COLUMNS if name not in shared]
        columns = {name: [getattr(row, name) for row in self.rows] for name in own}
        frame = pd.DataFrame({**columns, **shared}, columns=list(COLUMNS))
        return frame.astype(COLUMNS)

    def latest(self, phase: str) -> Row | None:
        """Give the latest row of a phase that is here."""
        return next((row for row in reversed(self.rows) if row.phase == phase), None)

    def _latest_steps(self) -> list[Row]:
        """Give the latest steps but the first two, in which memory is taken and code compiled."""
        found = self.rows[-_WINDOW:]
        return [row for row in found if row.phase == "train" and row.step > 1]

    def last_losses(self, count: int) -> list[float]:
        """Give the losses of the last steps."""
        self.settle()
        found = [row.loss for row in self.rows[-2 * count :] if row.phase == "train"]
        return found[-count:]

    def step_seconds(self, *, is_recorded: bool | None = None) -> float:
        """Give the median time of the latest steps, of the recorded or the other ones, or NaN."""
        found = self._latest_steps()
        times = sorted(row.seconds for row in found if is_recorded in (None, row.is_recorded))
        return times[len(times) // 2] if times else math.nan

    def recording_overhead(self) -> float:
        """Estimate what recording adds to the time of the run, as a share; NaN where unknown.

        recorded steps * (median recorded - median other) / (steps * median other)
        """
        steps = [row.is_recorded for row in self._latest_steps()]
        plain = self.step_seconds(is_recorded=False)
        added = self.step_seconds(is_recorded=True) - plain
        return sum(steps) * added / (len(steps) * plain) if steps else math.nan
