"""From readings to the rows of the table."""

from collections.abc import Iterator, Sequence
from typing import Any

from torch import nn

from sppkit.capture.places import Place
from sppkit.capture.plan import Plan
from sppkit.capture.session import Reading
from sppkit.capture.sharding import user_class
from sppkit.signals import Role, Signal
from sppkit.statistics import EXTENDED_STATISTICS, STATISTICS, WEIGHT_STATISTICS, evaluate

_OF_OUTPUTS = frozenset({Signal.ACTIVATION, Signal.GRADIENT})


def table_rows(
    readings: Sequence[Reading], model: nn.Module, plan: Plan, constants: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    """Make one row per reading; `constants` are the columns that all of them share."""
    modules = dict(model.named_modules())
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
            "channels": reading.slot.channels,
            "samples": _samples(reading),
            "dtype": str(reading.slot.dtype).removeprefix("torch."),
            "flags": reading.flags,
            **_where(place, signal, plan, modules),
            **_statistics(reading),
        }


def _samples(reading: Reading) -> int:
    """Count the values read per channel; of a shard, per channel that this process holds."""
    return int(reading.summary.count.max(initial=0))


def _where(
    place: Place, signal: Signal, plan: Plan, modules: dict[str, nn.Module]
) -> dict[str, Any]:
    module = modules.get(place.layer)
    row: dict[str, Any] = {
        "depth": plan.depths.get((place.layer, place.operation)),
        "layer_type": place.operation.partition("#")[0] or user_class(module).__name__,
        "role": str(_role(place, signal, plan)),
        "tap": "",
    }
    info = plan.taps.get(place) if signal in _OF_OUTPUTS else None
    if info:
        row |= {"tap": str(info.tap), "block": info.block, "stage": info.stage}
    return row


def _role(place: Place, signal: Signal, plan: Plan) -> Role:
    if signal not in _OF_OUTPUTS:
        return Role.PARAMETER
    if place.operation:
        return Role.OPERATION
    return Role.LEAF if place in plan.leaves else Role.CONTAINER


def _statistics(reading: Reading) -> dict[str, float]:
    of_weights = reading.point.signal not in _OF_OUTPUTS
    wanted = (
        *STATISTICS,
        *(WEIGHT_STATISTICS if of_weights else ()),
        *(EXTENDED_STATISTICS if reading.summary.histogram is not None else ()),
    )
    return evaluate(reading.summary, wanted)
