"""From readings to the rows of the table."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch import nn

from sppkit.capture.places import Place
from sppkit.capture.plan import Plan
from sppkit.capture.reading import Reading
from sppkit.capture.sharding import user_class
from sppkit.signals import OF_OUTPUTS, Role, Signal
from sppkit.statistics import (
    EXTENDED_STATISTICS,
    PAIR_STATISTICS,
    STATISTICS,
    WEIGHT_STATISTICS,
    evaluate,
)
from sppkit.summary import ChannelSummary

_COMPARED = frozenset({Signal.WEIGHT_GRADIENT, Signal.CLIPPED_WEIGHT_GRADIENT, Signal.UPDATE})


def table_rows(
    readings: Sequence[Reading],
    model: nn.Module,
    plan: Plan,
    constants: dict[str, Any],
    weights: Mapping[Place, ChannelSummary],
) -> Iterator[dict[str, Any]]:
    """Make one row per reading.

    Args:
        readings: of one step.
        model, plan: say what the layers are.
        constants: the columns that all rows share.
        weights: what gradients and updates of weights are compared with.
    """
    kinds = {row["layer"]: row["layer_type"] for row in plan.structure if not row["operation"]}
    kinds |= {name: user_class(module).__name__ for name, module in model.named_modules()}
    for reading in readings:
        place, signal = reading.point
        yield {
            **constants,
            "phase": reading.phase,
            "layer": place.layer,
            "call": place.call,
            "operation": place.operation,
            "tensor": place.tensor,
            "signal": str(signal),
            "passes": reading.passes,
            "batch": reading.batch,
            "channels": reading.slot.channels,
            "samples": _samples(reading),
            "dtype": str(reading.slot.dtype).removeprefix("torch."),
            "flags": reading.flags,
            **_where(place, signal, plan, kinds),
            **_statistics(reading),
            **_ratios(reading, weights),
        }


def _samples(reading: Reading) -> int:
    """Count the values read per channel; of a shard, per channel that this process holds."""
    return int(reading.summary.count.max(initial=0))


def _where(place: Place, signal: Signal, plan: Plan, kinds: dict[str, str]) -> dict[str, Any]:
    row: dict[str, Any] = {
        "depth": plan.depths.get((place.layer, place.operation)),
        "layer_type": place.operation.partition("#")[0] or kinds.get(place.layer, ""),
        "role": str(_role(place, signal, plan)),
        "tap": "",
    }
    info = plan.taps.get(place) if signal in OF_OUTPUTS else None
    if info:
        row |= {"tap": str(info.tap), "block": info.block, "stage": info.stage}
    return row


def _role(place: Place, signal: Signal, plan: Plan) -> Role:
    if signal not in OF_OUTPUTS:
        return Role.PARAMETER
    if place.operation:
        return Role.OPERATION
    return Role.LEAF if place in plan.leaves else Role.CONTAINER


def _ratios(reading: Reading, weights: Mapping[Place, ChannelSummary]) -> dict[str, float]:
    """Compare a gradient or an update of a weight with the weight itself."""
    weight = weights.get(reading.point.place)
    if reading.point.signal not in _COMPARED or weight is None:
        return {}
    if weight.channels != reading.summary.channels:
        return {}  # the layer was replaced between the two
    return {s.__name__: s(reading.summary, weight) for s in PAIR_STATISTICS}


def _statistics(reading: Reading) -> dict[str, float]:
    of_weights = reading.point.signal not in OF_OUTPUTS
    wanted = (
        *STATISTICS,
        *(WEIGHT_STATISTICS if of_weights else ()),
        *(EXTENDED_STATISTICS if reading.summary.histogram is not None else ()),
    )
    return evaluate(reading.summary, wanted)
