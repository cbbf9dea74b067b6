"""Rules about numbers: not finite, or about to leave the number format."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from sppkit.rules.evidence import Evidence
from sppkit.rules.finding import Finding, Fix, Severity
from sppkit.rules.rows import Rows, joined
from sppkit.rules.rule import Outcome, Rule, threshold
from sppkit.signals import Role, Signal

Row = dict[str, Any]

LARGEST = {"float16": 65504.0, "bfloat16": 3.3895e38, "float32": 3.4028e38}
"""Largest finite number of each format."""

CONTEXT = 5
"""How many places before the offender a message tells of."""


_ORDER = (Signal.WEIGHT, Signal.EFFECTIVE_WEIGHT, Signal.ACTIVATION)
"""In which signals the origin is looked for; then in the gradients, from the last layer on."""


def _first(spoilt: Rows) -> Row:
    """Find the origin; a container only repeats what one of its layers returned."""
    rank = np.array([_ORDER.index(s) if s in _ORDER else len(_ORDER) for s in spoilt["signal"]])
    execution = np.where(rank < len(_ORDER), spoilt["place"], -spoilt["place"])
    order = np.lexsort([execution, spoilt["role"] == Role.CONTAINER, rank])
    return Rows(spoilt.column, spoilt.number[order]).first()


@dataclass(frozen=True)
class NotFinite(Rule):
    """Find what made the first NaN or infinity, and mend it there: the rest only passes it on.

    Weights that hold one were initialised so; otherwise the layer overflowed, or divided by zero,
    or took the logarithm or root of what has none.
    """

    code = "SPP401"
    title = "values that are not finite"
    severity = Severity.ERROR
    foretells = False

    share: float = threshold(
        0.0, "of the values of a tensor; any; SageMaker Debugger, ExplodingTensor"
    )

    def judge(self, evidence: Evidence) -> Outcome:
        """Look for the first tensor with NaN or infinity: weights, activations, then gradients."""
        rows = joined((evidence.curves, evidence.under_loss))
        spoilt = rows.keep(rows["nonfinite_fraction"] > self.share)
        if not len(spoilt):
            return Outcome()
        return Outcome((self._report(evidence, _first(spoilt), spoilt),))

    def _report(self, evidence: Evidence, first: Row, spoilt: Rows) -> Finding:
        layer, signal, share = (
            str(first["layer"]),
            str(first["signal"]),
            first["nonfinite_fraction"],
        )
        seeds = len(set(spoilt["seed"]))
        is_weight = signal in (Signal.WEIGHT, Signal.EFFECTIVE_WEIGHT)
        return self.finding(
            evidence,
            layer,
            signal=signal,
            statistic="nonfinite_fraction",
            measured=float(share),
            expected="0",
            message=f"the first values that are not finite are in the {signal} ({share:.2g} of "
            f"it), in {seeds} of {len(evidence.seeds)} seeds{self._context(evidence, first)}",
            advice="Draw the weights anew: they are not finite from the start."
            if is_weight
            else "Look at what this layer computes from the values before it.",
            fix=Fix("re-initialise", (layer,)) if is_weight else None,
        )

    def _context(self, evidence: Evidence, first: Row) -> str:
        """Tell the largest magnitudes of the places before, as the way into the overflow."""
        before = evidence.outputs.where(seed=first["seed"])
        before = before.keep((before["place"] >= 0) & (before["place"] < first["place"])).by(
            "place"
        )
        if first["signal"] != Signal.ACTIVATION or not len(before):
            return ""
        last = before.keep(np.arange(len(before)) >= len(before) - CONTEXT)
        sizes = np.maximum(np.abs(last["maximum"]), np.abs(last["minimum"]))
        told = ", ".join(
            f"{name} {size:.3g}" for name, size in zip(last["layer"], sizes, strict=True)
        )
        return f"; largest magnitudes before it: {told}"


@dataclass(frozen=True)
class Headroom(Rule):
    """Scale the signal into the middle of its number format, or use one with a wider range.

    In half precision, activations close to the largest number overflow in training, and gradients
    below the smallest normal one lose their digits: use loss scaling, or bfloat16.
    """

    code = "SPP402"
    title = "precision headroom"
    severity = Severity.WARNING
    foretells = False

    factor: float = threshold(4.0, "below the largest number of the format; unit scaling; ours")
    underflow: float = threshold(0.5, "share of float16 activations below 2^-14; ours")

    def judge(self, evidence: Evidence) -> Outcome:
        """Compare the largest magnitudes with the format in which they are stored."""
        rows = evidence.curves.where(signal=Signal.ACTIVATION).by("place")
        largest = np.array([LARGEST.get(dtype, np.inf) for dtype in rows["dtype"]])
        size = np.maximum(np.abs(rows["maximum"]), np.abs(rows["minimum"]))
        over = rows.keep(size > largest / self.factor)
        half = rows["dtype"] == "float16"
        small = rows.keep(half & (rows["float16_underflow_fraction"] > self.underflow))
        if len(over):
            return Outcome((self._too_large(evidence, over.first()),))
        return Outcome((self._too_small(evidence, small.first()),)) if len(small) else Outcome()

    def _too_large(self, evidence: Evidence, row: Row) -> Finding:
        size = max(abs(row["maximum"]), abs(row["minimum"]))
        limit = LARGEST[str(row["dtype"])]
        return self.finding(
            evidence,
            str(row["layer"]),
            signal=Signal.ACTIVATION,
            statistic="maximum",
            measured=size,
            expected=f"below {limit / self.factor:.3g}",
            message=f"magnitudes of {size:.3g} come within a factor of {self.factor:g} of the "
            f"largest {row['dtype']} number, {limit:.3g}",
            advice="Scale the weights before it down, normalise, or compute this layer in float32.",
        )

    def _too_small(self, evidence: Evidence, row: Row) -> Finding:
        share = float(row["float16_underflow_fraction"])
        return self.finding(
            evidence,
            str(row["layer"]),
            signal=Signal.ACTIVATION,
            statistic="float16_underflow_fraction",
            measured=share,
            expected=f"below {self.underflow:g}",
            message=f"{share:.0%} of the values lie below the smallest normal float16 number",
            advice="Scale the weights before it up, normalise, or use bfloat16.",
        )
