"""Statistics that timm's `extract_spp_stats` and `ActivationStatsHook` have collected.

timm appends a number for each call of each module that a pattern matches, without its name; the
variance is the unbiased one, over n - 1.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sppkit.exchange.imported import UNBIASED, recording_of, row
from sppkit.exchange.numbers import numbers
from sppkit.recording import Recording
from sppkit.signals import Role, Tap

_SQUARED_MEAN, _VARIANCE, _RESIDUAL = "avg_sq_ch_mean", "avg_ch_var", "avg_ch_var_residual"
_NAMES = {_SQUARED_MEAN: "average_channel_squared_mean", _VARIANCE: "average_channel_variance"}
_REMARK = (
    "timm's variances are divided by n - 1, where sppkit divides by n; the layers' names are not "
    "in its lists"
)


def from_timm(stats: Mapping[str, Sequence[float]], *, run: str = "timm") -> Recording:
    """Make a recording of what timm's `extract_spp_stats` returns.

    Args:
        stats: lists by name of hook: `avg_sq_ch_mean` and `avg_ch_var` of each block's output, and
            `avg_ch_var_residual` of the end of its branch; any of them may be missing. Blocks are
            numbered in the order of the lists.
        run: name of the run.

    Returns:
        A recording of one run and one step, without seeds, gradients and weights. The second moment
        is the sum of both statistics.

    Raises:
        ValueError: a name is unknown, the lists differ in length, or hold no numbers.
    """
    lists = {name: numbers(name, values) for name, values in _checked(stats).items()}
    count = len(next(iter(lists.values())))
    rows = [each for index in range(count) for each in _block(lists, index)]
    missing = [
        ("", name.replace("_", " "), f"timm's statistics hold no list {own!r}")
        for own, name in _NAMES.items()
        if own not in lists
    ]
    return recording_of(rows, run, "timm.utils.model", remarks=(_REMARK,), not_captured=missing)


def _block(lists: Mapping[str, Sequence[float]], index: int) -> Iterator[dict[str, Any]]:
    """Make the rows of a block: the end of its branch, and its output."""
    place: dict[str, Any] = {"block": index + 1, "role": Role.CONTAINER, "flags": UNBIASED}
    if _RESIDUAL in lists:
        end = {"average_channel_variance": lists[_RESIDUAL][index]}
        yield row(f"branch {index + 1}", 2 * index, end, tap=Tap.RESIDUAL_BRANCH, **place)
    found = {name: lists[own][index] for own, name in _NAMES.items() if own in lists}
    if len(found) == len(_NAMES):
        found["second_moment"] = sum(found.values())
    if found:
        yield row(f"block {index + 1}", 2 * index + 1, found, tap=Tap.BLOCK, **place)


def _checked(stats: Mapping[str, Sequence[float]]) -> Mapping[str, Sequence[float]]:
    known = (_SQUARED_MEAN, _VARIANCE, _RESIDUAL)
    if not isinstance(stats, Mapping):
        raise ValueError(
            "expected the dict of lists that timm's extract_spp_stats returns, not "
            f"{type(stats).__name__}"
        )
    if unknown := [name for name in stats if name not in known]:
        raise ValueError(
            f"timm's statistics are called {', '.join(known)}; {unknown[0]!r} is none of them. "
            "Rename the list, or leave it out."
        )
    if not any(len(values) for values in stats.values()):
        raise ValueError(
            "there is no number in timm's statistics: its patterns matched no module of the model"
        )
    if len({len(values) for values in stats.values()}) > 1:
        lengths = ", ".join(f"{len(values)} of {name}" for name, values in stats.items())
        raise ValueError(
            f"the lists of timm's statistics differ in length ({lengths}), so that it is not known "
            "which number belongs to which block. Give hook_fn_locs that match one module of each "
            "block, such as 'layer?.?' and 'layer?.?.bn3'."
        )
    return stats
