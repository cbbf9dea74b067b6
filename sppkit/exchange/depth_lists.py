"""Lists of (name, value) by depth, as the library signal_propagation_plot returns them.

It hooks every module, the root included, and takes the mean of squares of all values for the
squared mean of a matrix; variances are divided by n - 1.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Any

from sppkit.exchange.imported import UNBIASED, recording_of, row
from sppkit.exchange.numbers import numbers
from sppkit.recording import Recording
from sppkit.signals import Role

_REMARK = (
    "signal_propagation_plot divides variances by n - 1, and of a matrix (N, F) its average "
    "channel squared mean is the second moment"
)


def from_depth_lists(
    squared_mean: Iterable[tuple[str, float]] | None = None,
    variance: Iterable[tuple[str, float]] | None = None,
    *,
    run: str = "signal_propagation_plot",
) -> Recording:
    """Make a recording of the lists of the library signal_propagation_plot.

    Args:
        squared_mean: of `get_average_channel_squared_mean_by_depth`.
        variance: of `get_average_channel_variance_by_depth`.
        run: name of the run.

    Returns:
        A recording of one run and one step, in the order of the lists; a name that occurs again is
        a further call of the layer.

    Raises:
        ValueError: neither list was given, they name different layers, or hold no numbers.
    """
    given = {
        "average_channel_squared_mean": _pairs("squared_mean", squared_mean),
        "average_channel_variance": _pairs("variance", variance),
    }
    lists = {name: pairs for name, pairs in given.items() if pairs}
    if not lists:
        raise ValueError("give the list of squared means, of variances, or both")
    names = [[name for name, _ in pairs] for pairs in lists.values()]
    if names[0] != names[-1]:
        raise ValueError(
            f"the two lists name different layers ({len(names[0])} and {len(names[-1])} entries): "
            "they are not of one network"
        )
    values = {name: numbers(name, (value for _, value in pairs)) for name, pairs in lists.items()}
    seen: Counter[str] = Counter()
    rows = []
    for depth, layer in enumerate(names[0]):
        found = {name: listed[depth] for name, listed in values.items()}
        role = _role(layer, names[0])
        rows.append(row(layer, depth, found, role=role, call=seen[layer], flags=UNBIASED))
        seen[layer] += 1
    return recording_of(rows, run, "signal_propagation_plot", remarks=(_REMARK,))


def _pairs(name: str, pairs: Iterable[Any] | None) -> list[tuple[str, float]]:
    try:
        return [(str(layer), value) for layer, value in pairs or ()]
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{name} must be a list of pairs of a layer's name and a number"
        ) from error


def _role(layer: str, names: list[str]) -> Role:
    inner = f"{layer}." if layer else ""
    has_parts = any(name.startswith(inner) for name in names if name != layer)
    return Role.CONTAINER if has_parts else Role.LEAF
