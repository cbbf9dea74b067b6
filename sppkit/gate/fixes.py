"""Apply the fix that a rule names to a network: from its words to a function of `sppkit.init`."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import pandas as pd
from torch import nn

from sppkit import init
from sppkit.errors import SppkitError
from sppkit.init import nonlinearities_in_front
from sppkit.inputs import ProbeBatch
from sppkit.probing.execution import run_forward
from sppkit.rules import Fix
from sppkit.theory import nonlinearity_gain


class CannotFixError(SppkitError):
    """A fix cannot be applied to this network."""


@dataclass(frozen=True)
class Network:
    """A copy to change, and what is known of it.

    Attributes:
        model: the copy.
        structure: of the run that named the fix.
        batch: makes input to run it on.
    """

    model: nn.Module
    structure: pd.DataFrame
    batch: Callable[[], ProbeBatch]


def apply_fix(fix: Fix, network: Network) -> tuple[str, ...]:
    """Apply a fix to a copy of a network, in place.

    Returns:
        What was changed, in words, one entry per layer.

    Raises:
        CannotFixError: the fix has no function, finds nothing to change, or does not fit the layer.
    """
    if fix.kind not in _FUNCTIONS:
        raise CannotFixError(f"there is no automatic fix called {fix.kind!r}")
    try:
        applied = tuple(_FUNCTIONS[fix.kind](fix, network))
    except ValueError as error:
        raise CannotFixError(str(error)) from error
    if not applied:
        named = ", ".join(fix.layers) or "the network"
        raise CannotFixError(f"nothing in {named} takes the fix {fix.kind!r}")
    return applied


def _layers(fix: Fix) -> tuple[str, ...] | None:
    return fix.layers or None


def _factor(fix: Fix) -> float:
    if fix.factor is None or not math.isfinite(fix.factor) or fix.factor == 0:
        raise CannotFixError(f"the fix {fix.kind!r} needs a finite factor, and has {fix.factor}")
    return fix.factor


def _scale(fix: Fix, network: Network) -> Iterable[str]:
    factor = _factor(fix)
    names = init.scale_weights(network.model, factor, layers=_layers(fix))
    return [f"{name}: weight times {factor:.4g}" for name in names]


def _group_aware_fan(fix: Fix, network: Network) -> Iterable[str]:
    return _scale(fix, network) if fix.factor is not None else _reinitialise(fix, network)


def _reinitialise(fix: Fix, network: Network) -> Iterable[str]:
    in_front = nonlinearities_in_front(network.structure)
    names = init.initialize_weights(network.model, "he", in_front, layers=_layers(fix))
    modules = dict(network.model.named_modules())
    return [
        f"{name}: drawn from N(0, gain² / {init.fan_in(modules[name]):g}) for "
        f"{in_front.get(name, 'identity')} in front"
        for name in names
    ]


def _standardise(fix: Fix, network: Network) -> Iterable[str]:
    in_front = nonlinearities_in_front(network.structure)
    gains = {name: fix.factor or nonlinearity_gain(kind) for name, kind in in_front.items()}
    names = init.standardize_weights(network.model, gains, layers=_layers(fix))
    return [
        f"{name}: weight standardised per output unit, gain {gains.get(name, 1.0):.4g}"
        for name in names
    ]


def _unit_variance(fix: Fix, network: Network) -> Iterable[str]:
    """Rescale what is there: the weights that were drawn keep their directions."""

    def run(model: nn.Module) -> None:
        run_forward(model, network.batch(), None)

    done = init.layer_sequential_unit_variance(
        network.model, run=run, orthonormal=False, layers=_layers(fix)
    )
    return [
        f"{d.layer}: output variance {d.before:.3g} to {d.after:.3g} in {d.iterations} steps"
        for d in done
        if d.iterations
    ]


def _scale_attention(fix: Fix, network: Network) -> Iterable[str]:
    every = init.query_projections(network.model)
    found = {p.layer: p for layer in fix.layers or ("",) for p in _nearest(every, layer)}
    if not found:
        raise CannotFixError(
            "no layer has the name of one that makes queries (q_proj, query, to_q, qkv, ...); "
            "divide the logits q·k by sqrt(d) in the forward"
        )
    init.scale_attention(network.model, fix.factor, layers=list(found))
    return [
        f"{p.layer}: {p.rows} rows that make queries times "
        f"{fix.factor or p.head_dimension**-0.5:.4g}"
        for p in found.values()
    ]


def _nearest(projections: Sequence[init.QueryProjection], layer: str) -> list[init.QueryProjection]:
    """Climb from a layer, such as a softmax, to the nearest owner that makes queries."""
    inside = [p for p in projections if not layer or f"{p.layer}.".startswith(f"{layer}.")]
    return inside if inside or not layer else _nearest(projections, layer.rpartition(".")[0])


def _reset_biases(fix: Fix, network: Network) -> Iterable[str]:
    names = init.reset_biases(network.model, layers=_layers(fix))
    return [f"{name}: bias set to 0" for name in names]


_FUNCTIONS: dict[str, Callable[[Fix, Network], Iterable[str]]] = {
    "scale initialisation": _scale,
    "scaled weight standardisation": _standardise,
    "LSUV": _unit_variance,
    "attention scale": _scale_attention,
    "group-aware fan": _group_aware_fan,
    "reset biases": _reset_biases,
    "re-initialise": _reinitialise,
}
