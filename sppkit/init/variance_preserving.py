"""Divide each layer's weights by its measured gain, so that the signal keeps its level."""

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import nn

from sppkit.init.branch_ends import variances_at_branch_ends
from sppkit.init.layers import weighted_layers
from sppkit.init.sequential import (
    LayerVariance,
    Rescaling,
    Statistic,
    average_channel_variance,
    rescale_in_order,
    second_moment,
)
from sppkit.init.trial import Run, as_run
from sppkit.patterns import Patterns

_STATISTICS: Mapping[str, Statistic] = {
    "average channel variance": average_channel_variance,
    "second moment": second_moment,
}


def preserve_variance(
    model: nn.Module,
    *args: Any,
    statistic: Literal["average channel variance", "second moment"] = "average channel variance",
    level: float | None = None,
    alpha: float = 1.0,
    tolerance: float = 0.01,
    maximum_iterations: int = 10,
    layers: Patterns | None = None,
    run: Run | None = None,
) -> tuple[LayerVariance, ...]:
    """Divide the weights of each layer by its measured gain, in place.

        W_l <- W_l / g_l,   g_l² = m(y_l) / level

    for each layer l in order of execution, y_l being its output on the batch, m the statistic, and
    level what the signal entered the first of them with. As the layers in front hold the level by
    then, g_l is the gain of layer l and of whatever stands in front of it, nonlinearity and pooling
    included. For weights without a bias one division is exact; where a bias has a share in m, it is
    repeated.

    The weights keep their directions and the proportions of their units, biases stay: so this is
    for weights that were drawn, or trained, with care, where LSUV would draw them anew. Unlike it,
    it measures the variance within channels, which is what reaches a layer behind a normalisation
    or scaled weight standardisation, and keeps the scale of the data.

    Args:
        model: any module; it runs in the mode that it is in.
        *args: positional arguments of its forward: a batch of data.
        statistic: "average channel variance" or "second moment".
        level: that every layer's output is brought to; None measures what the first layer is given.
        alpha: residual branches are brought to alpha² times the level at their ends; see
            `layer_sequential_unit_variance`.
        tolerance: half the width of the band around the level, as a share of it.
        maximum_iterations: of one layer.
        layers: names or patterns; None takes all weighted layers.
        run: runs the forward of the model it is given, where `args` do not suffice.

    Returns:
        One entry per layer, in order of execution; its gain was (before / target)^(1/2). A layer
        whose output is constant or not finite is left alone.

    Raises:
        ValueError: an unknown statistic, a level, tolerance or alpha that is not positive, nothing
            to run, a first layer that is given a constant, or the alpha of a network whose branches
            end otherwise (`layer_sequential_unit_variance`).
    """
    if statistic not in _STATISTICS:
        raise ValueError(f"statistic is one of {', '.join(_STATISTICS)}; got {statistic!r}")
    chosen, run = weighted_layers(model, layers), as_run(args, run)
    target = _Target(_STATISTICS[statistic], level, variances_at_branch_ends(model, run, alpha))
    rescaling = Rescaling(_STATISTICS[statistic], target, tolerance, maximum_iterations)
    rescaling.check()
    return rescale_in_order(model, chosen, run, rescaling)


class _Target:
    """The level, measured when the first layer is called."""

    def __init__(
        self, statistic: Statistic, level: float | None, at_ends: Mapping[str, float]
    ) -> None:
        self._statistic, self._at_ends, self._level = statistic, at_ends, level
        if level is not None:
            self._check(level, "level")

    def __call__(self, name: str, module: nn.Module, inputs: tuple[Any, ...]) -> float:
        if self._level is None:
            entering = next((i for i in inputs if isinstance(i, torch.Tensor)), None)
            level = float("nan") if entering is None else self._statistic(module, entering)
            self._check(level, f"the statistic of what {name!r} is given")
            self._level = level
        return self._level * self._at_ends.get(name, 1.0)

    @staticmethod
    def _check(level: float, what: str) -> None:
        if not (level > 0 and level < float("inf")):
            raise ValueError(
                f"{what} is {level:g}, expected a positive number to bring every layer to: give "
                "one with level="
            )
