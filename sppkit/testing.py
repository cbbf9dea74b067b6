"""Assertions for test suites: does a network carry its signal?

    from sppkit.testing import assert_variance_preserving

    def test_the_network_carries_its_signal():
        assert_variance_preserving(Net, input_size=(3, 64, 64))

Needs no plug-in of pytest; the plug-in's fixture `spp` does the same with plots and baselines.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from sppkit.probing.measurement import Model
    from sppkit.recording import Recording
    from sppkit.rules import Diagnosis

_WORST = 3
_ADVICE = "see in the plot where the curve leaves the band; widen the band if that is meant."

Band = tuple[float, float]


def assert_variance_preserving(
    model: "Model",
    *,
    band: Band | None = None,
    statistic: str = "second_moment",
    fail_on: Literal["error", "warning"] = "error",
    plot: str | os.PathLike[str] | None = None,
    **options: Any,
) -> "Diagnosis":
    """Assert that a network carries its signal from the input to the output and back.

    The verdict is that of `sppkit.check`: a stream that grows as theory expects passes, exponential
    growth or decay, death and saturation fail. With a `band` the statistic itself is held too, at
    every residual block (every weighted layer where there is none): its geometric mean over seeds,
    divided by that of the first, must lie in the band.

    Args:
        model: a module, or a function or class without arguments that builds one.
        band: lowest and highest permitted ratio to the first block, such as (0.5, 2).
        statistic: a column of `Recording.table()`; He initialisation with ReLU keeps the
            "second_moment", scaled weight standardisation the "average_channel_variance".
        fail_on: the least severity of a finding that fails.
        plot: where to write the signal propagation plot if the assertion fails.
        **options: the other arguments of `sppkit.check`: `input_size`, `seeds`, `select`, ...

    Returns:
        The diagnosis, where all is well.

    Raises:
        AssertionError: it does not; names the first offender, the worst three layers, what to do.
        ProbeError: the network cannot be run.
        ValueError: an argument has no meaning.

    Examples:
        >>> from torch import nn
        >>> diagnosis = assert_variance_preserving(lambda: nn.Linear(64, 64), input_size=(64,))
        >>> diagnosis.verdict
        'pass'
    """
    __tracebackhide__ = True
    from sppkit.gate import examine

    check_band(band)
    examination = examine(model, **options)
    judged = Judged(examination.recording, examination.diagnosis, band, statistic, fail_on)
    if judged.passed:
        return examination.diagnosis
    raise AssertionError(judged.explain(plot))


@dataclass(frozen=True)
class Judged:
    """A network that was measured, with what is asked of it."""

    recording: "Recording"
    diagnosis: "Diagnosis"
    band: Band | None
    statistic: str
    fail_on: str

    @property
    def passed(self) -> bool:
        """Say whether nothing is wrong."""
        is_wrong = self._nothing_asserted or self.diagnosis.failed(self.fail_on) or self._outside()
        return not is_wrong

    @property
    def _nothing_asserted(self) -> str:
        """Why nothing was asserted; a band is asked even where no rule applies."""
        is_asked = self.diagnosis.observed and self.band is not None
        return "" if is_asked else self.diagnosis.nothing_judged

    def explain(self, plot: str | os.PathLike[str] | None = None) -> str:
        """Say what is wrong; draw it, where a path for the plot is given."""
        lines = [*self._explanation()]
        if plot is not None and self.diagnosis.observed:
            lines.append(f"Plot: {_draw(self.recording, plot)}")
        return "\n".join(lines)

    def _explanation(self) -> Iterator[str]:
        from sppkit.formats.results import number, subject

        diagnosis = self.diagnosis
        if self._nothing_asserted:
            yield f"{diagnosis.target}: {self._nothing_asserted}"
            return
        yield f"{diagnosis.target} does not preserve its signal ({len(diagnosis.seeds)} seeds)."
        if (first := diagnosis.first_offender) is not None:
            where = f"{first.layer}, " if first.layer else ""
            yield f"First offender: {where}{first.code}: {first.message}"
            yield f"  {subject(first)}: {number(first.measured)}, expected {first.expected}"
        permitted = f", permitted {self.band[0]:g}..{self.band[1]:g}" if self.band else ""
        yield f"Worst layers ({self._words} over that of the first{permitted}):"
        for place, ratio in self._worst():
            yield f"  {place}: {ratio:.3g}"
        yield f"Advice: {first.advice if first is not None else _ADVICE}"

    @property
    def _words(self) -> str:
        return self.statistic.replace("_", " ")

    def _outside(self) -> bool:
        if self.band is None:
            return False
        low, high = self.band
        return not all(low <= ratio <= high for _, ratio in self._ratios())

    def _worst(self) -> list[tuple[str, float]]:
        """Return the layers that are farthest from one, in either direction; NaN is farthest."""
        return sorted(self._ratios(), key=_distance_from_one, reverse=True)[:_WORST]

    def _ratios(self) -> list[tuple[str, float]]:
        """Return each block (or weighted layer) with its value over that of the first."""
        import numpy as np

        from sppkit.plots.frames import VARIANCE, at_step, places_on_axis
        from sppkit.signals import Signal

        table = at_step(self.recording.table(), None)
        if self.statistic not in table.columns:
            raise ValueError(f"statistic={self.statistic!r} is no column of Recording.table()")
        rows = places_on_axis(table, self.recording.structure(), Signal.ACTIVATION)
        rows = rows[(rows["x"] >= 1) & (rows["panel"] == VARIANCE)]
        with np.errstate(divide="ignore", invalid="ignore"):
            logarithms = np.log(rows[self.statistic].to_numpy(dtype=float))
        grouped = rows.assign(logarithm=logarithms).groupby("x")
        means = grouped["logarithm"].mean()
        names = grouped[["layer", "operation"]].first().itertuples(index=False)
        ratios = np.exp(means - means.iloc[0]) if len(means) else means
        return [(_place(*name), float(ratio)) for name, ratio in zip(names, ratios, strict=True)]


def _distance_from_one(place: tuple[str, float]) -> float:
    import math

    ratio = place[1]
    return abs(math.log(ratio)) if 0 < ratio < math.inf else math.inf


def _place(layer: str, operation: str) -> str:
    return ":".join(part for part in (layer, operation) if part) or "(root)"


def _draw(recording: "Recording", path: str | os.PathLike[str]) -> str:
    from sppkit.plots import plot_signal_propagation
    from sppkit.plots.files import save_figure

    return str(save_figure(plot_signal_propagation(recording), path, force=True))


def check_band(band: Band | None) -> None:
    """Refuse a band that holds no one.

    Raises:
        ValueError: it does not.
    """
    if band is not None and not (len(band) == 2 and 0 < band[0] <= 1 <= band[1]):
        raise ValueError(
            f"band={band!r}; expected the lowest and the highest permitted ratio to the first "
            "block, around one, such as (0.5, 2)."
        )
