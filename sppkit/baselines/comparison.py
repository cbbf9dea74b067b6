"""Compare two recordings of a network: which layers moved, and by how much of the seeds' spread."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from sppkit.recording import Recording, one_run
from sppkit.signals import Signal

COMPARED: dict[str, tuple[str, ...]] = {
    Signal.ACTIVATION: ("second_moment", "average_channel_variance"),
    Signal.GRADIENT: ("second_moment",),
    Signal.WEIGHT: ("second_moment",),
    Signal.WEIGHT_GRADIENT: ("second_moment",),
}
"""What is compared of each signal; the others follow from these."""

ROUNDING = 1e-3
"""Least standard deviation of a logarithm: 0.1 %, above what another machine's rounding does."""

CHANCE = 1e-4
"""Probability that a place of a network that did not change is taken to have moved."""

_PLACE = ["phase", "layer", "call", "operation", "tensor", "signal"]
_SERIES = [*_PLACE, "statistic"]


@dataclass(frozen=True)
class Comparison:
    """Two runs side by side.

    Attributes:
        shifts: one row for each place, signal and statistic that both runs have, in order of
            execution: `before` and `after` (geometric means over seeds), `ratio`, `sigma` (standard
            deviation of the logarithm between seeds), `sigmas`, the change of the mean logarithm in
            units of it, and `least`, how many of them so few seeds can tell from chance. Infinite
            where a signal died, was born, or left the numbers; NaN where no run has two seeds.
        only_before, only_after: layers that one of the runs alone has.
    """

    shifts: pd.DataFrame
    only_before: tuple[str, ...]
    only_after: tuple[str, ...]

    def moved(self, sigmas: float = 3.0) -> pd.DataFrame:
        """Give the rows that moved by more than a number of standard deviations, and not by chance.

        The mean logarithms of n and m seeds differ by chance by t √(1/n + 1/m) sigma, with
        Student's t for n + m - 2 degrees of freedom; taken at a probability of `CHANCE` this is
        12.7 sigma for three seeds on both sides, 4.5 for five, and less than 3 for eight.
        """
        size = self.shifts["sigmas"].abs()
        beyond: pd.Series[bool] = (size > self.shifts["least"].clip(lower=sigmas)) | (
            size == np.inf
        )
        return self.shifts.loc[beyond]

    def threshold(self, sigmas: float = 3.0) -> float:
        """Return the number of standard deviations that most layers must move by."""
        least = self.shifts["least"].median()
        return sigmas if pd.isna(least) else max(sigmas, float(least))

    @property
    def has_spread(self) -> bool:
        """Say whether there were seeds enough to know a spread."""
        return bool(self.shifts["sigma"].notna().any())


def compare(
    before: Recording,
    after: Recording,
    *,
    run: str | None = None,
    other_run: str | None = None,
    step: int | None = None,
) -> Comparison:
    """Compare a run of one recording with a run of another.

    The spread of a series is the standard deviation of its logarithm between seeds, pooled over
    both runs, but not less than the median of that over all places of the same signal and
    statistic: five seeds know a spread to a third only, and many layers know it better.

    Args:
        before, after: the recordings.
        run, other_run: names of the runs in them; the only ones by default.
        step: the recorded step to compare, the first of each by default.

    Raises:
        ValueError: there is no such run, or several and none was named; no such step.
    """
    frames = [
        _series(recording, one_run(recording, name), step)
        for recording, name in ((before, run), (after, other_run))
    ]
    order = frames[1].drop_duplicates(_SERIES).set_index(_SERIES)["depth"]
    summaries = [_summary(frame) for frame in frames]
    both = summaries[0].add_suffix("_before").join(summaries[1].add_suffix("_after"), how="inner")
    layers = [set(frame["layer"]) for frame in frames]
    shifts = _shifts(both).assign(depth=order.reindex(both.index))
    return Comparison(
        shifts.reset_index().sort_values(["depth", "layer"]),
        only_before=tuple(sorted(layers[0] - layers[1])),
        only_after=tuple(sorted(layers[1] - layers[0])),
    )


def _series(recording: Recording, run: str, step: int | None) -> pd.DataFrame:
    """Give one row for each place, statistic and seed, with the logarithm of its value."""
    table = recording.table()
    table = table[table["run"] == run]
    steps = sorted(table["step"].unique())
    if step is not None and step not in steps:
        raise ValueError(f"run {run!r} has no step {step}; recorded: {', '.join(map(str, steps))}")
    table = table[table["step"] == (steps[0] if step is None else step)] if steps else table
    parts = [
        table.loc[table["signal"] == signal, [*_PLACE, "seed", "depth"]].assign(
            statistic=statistic, value=table.loc[table["signal"] == signal, statistic]
        )
        for signal, statistics in COMPARED.items()
        for statistic in statistics
    ]
    series = pd.concat(parts, ignore_index=True)
    series = series.astype(dict.fromkeys(("phase", "layer", "operation", "tensor"), "object"))
    with np.errstate(divide="ignore"):
        return series.assign(
            signal=series["signal"].astype("object"),
            logarithm=np.log(series["value"].to_numpy(dtype=float)),
        )


def _summary(series: pd.DataFrame) -> pd.DataFrame:
    """Give mean, squared deviations and number of the logarithms of each series over its seeds."""
    finite = series[np.isfinite(series["logarithm"])]
    grouped = finite.groupby(_SERIES)["logarithm"]
    number = grouped.size()
    summary = pd.DataFrame(
        {"mean": grouped.mean(), "squares": grouped.var(ddof=0) * number, "n": number}
    )
    gone = series.groupby(_SERIES)["logarithm"].min()  # -inf where it is zero, NaN beyond numbers
    summary = summary.reindex(gone.index)
    return summary.assign(mean=summary["mean"].fillna(gone), n=summary["n"].fillna(0)).fillna(
        {"squares": 0.0}
    )


def _shifts(both: pd.DataFrame) -> pd.DataFrame:
    before, after = both["mean_before"], both["mean_after"]
    sigma, shift = _spread(both), after - before
    same = (after == before) | (after.isna() & before.isna())
    lost = ~same & ~np.isfinite(shift)
    # beyond the numbers counts as up, as does to be born
    upwards = after.isna() | (after == np.inf) | (before == -np.inf)
    up = pd.Series(np.where(upwards, np.inf, -np.inf), index=both.index)
    return pd.DataFrame(
        {
            "before": np.exp(before),
            "after": np.exp(after),
            "ratio": np.exp(shift.mask(same, 0.0).mask(lost, up)),
            "sigma": sigma,
            "sigmas": (shift / sigma).mask(same, 0.0).mask(lost, up),
            "least": _least_sigmas(both["n_before"], both["n_after"]),
        }
    )


def _least_sigmas(n: "pd.Series[float]", m: "pd.Series[float]") -> "pd.Series[float]":
    from scipy.special import stdtrit

    freedom = (n + m - 2).where((n > 0) & (m > 0) & (n + m > 2))
    student = pd.Series(stdtrit(freedom, 1 - CHANCE / 2), index=n.index)
    return student * (1 / n.where(n > 0) + 1 / m.where(m > 0)) ** 0.5


def _spread(both: pd.DataFrame) -> "pd.Series[float]":
    freedom = both["n_before"] + both["n_after"] - 2
    own = ((both["squares_before"] + both["squares_after"]) / freedom.where(freedom > 0)) ** 0.5
    typical = own.groupby(level=["phase", "signal", "statistic"]).transform("median")
    known = own.fillna(typical)
    return known.clip(lower=typical).clip(lower=ROUNDING)
