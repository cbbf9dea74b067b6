"""What a recording says of its network: the structure frame, and what was not captured."""

from collections.abc import Container, Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import nn

from sppkit.capture.planning.plan import Plan
from sppkit.capture.planning.structure import describe_initialisation
from sppkit.capture.readings.reading import Reading
from sppkit.recording import not_captured_entry
from sppkit.signals import Signal
from sppkit.statistics import evaluate, maximum, minimum, variance

_SCRIPTED = "a scripted module runs no Python hooks: use the module that it was made from"
_ROOT_NEVER_CALLED = (
    "the model itself was never called, only modules inside of it: each of their calls counts as "
    "a forward pass of its own"
)
_NEVER_CALLED = (
    "the module was never called, or by its .forward(), which runs no hooks; its parameters may "
    "be used by another one, as nn.MultiheadAttention does with out_proj"
)


def structure_of_run(
    run: str, plan: Plan, readings: Iterable[Reading], known: Container[tuple[str, str]]
) -> Iterator[dict[str, Any]]:
    """Give the rows of the structure frame for what a plan has found.

    Args:
        run: its name.
        plan: made by a traced pass.
        readings: of the first step by this plan; its weights say how they were initialised.
        known: layers and operations that have a row already.
    """
    started = _initialisations(readings)
    for row in plan.structure:
        if (row["layer"], row["operation"]) not in known:
            described = ", ".join(started.get(row["layer"], ()))
            yield {**row, "run": run, "initialisation": described}


def _initialisations(readings: Iterable[Reading]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for reading in readings:
        place, signal = reading.point
        if signal is Signal.WEIGHT:
            values = evaluate(reading.summary, (minimum, maximum, variance))
            described = f"{place.tensor}: {describe_initialisation(values)}"
            found.setdefault(place.layer, []).append(described)
    return found


def what_is_missing(
    run: str, model: nn.Module, plan: Plan, missing: Mapping[tuple[str, str], str]
) -> list[dict[str, str]]:
    """List what was not captured, with the reasons.

    Args:
        run: its name.
        model, plan: what was recorded, and what of it was called.
        missing: the reasons known, by layer and signal; signal "" is for all signals of a layer.
    """
    said = {layer for layer, signal in missing if not signal}
    uncalled = [found for found in _never_called(model, plan) if found[0] not in said]
    return [
        *(not_captured_entry(run, *place, reason) for place, reason in missing.items()),
        *(not_captured_entry(run, layer, "", reason) for layer, reason in uncalled),
    ]


def _never_called(model: nn.Module, plan: Plan) -> Iterable[tuple[str, str]]:
    """Name the modules that no pass has called, with the reason."""
    called = {row["layer"] for row in plan.structure if row["calls"]}
    scripted: set[str] = set()
    for name, module in model.named_modules() if plan.is_made else ():
        if name in called or "parametrizations" in name.split("."):
            continue
        if isinstance(module, torch.jit.ScriptModule):
            scripted.add(name)
            if name.rpartition(".")[0] not in scripted:
                yield name, _SCRIPTED
        elif not name:
            yield name, _ROOT_NEVER_CALLED
        elif any(p is not None for p in module._parameters.values()):
            yield name, _NEVER_CALLED
