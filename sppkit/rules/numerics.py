"""Rules about numbers: not finite, or about to leave the number format."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from sppkit.rules.evidence import Evidence
from sppkit.rules.finding import Finding, Fix, Severity
from sppkit.rules.rule import Outcome, Rule, threshold
from sppkit.signals import Role, Signal

Row = dict[str, Any]

LARGEST = {"float16": 65504.0, "bfloat16": 3.3895e38, "float32": 3.4028e38}
"""Largest finite number of each format."""

CONTEXT = 5
"""How many places before the offender a message tells of."""


def _row(rows: pd.DataFrame, position: int = 0) -> Row:
    return {str(column): rows[column].iloc[position] for column in rows.columns}


@dataclass(frozen=True)
class NotFinite(Rule):
    """Find what made the first NaN or infinity, and mend it there: the rest only passes it on.

    Weights that hold one were initialised so; otherwise the layer overflowed, or divided by zero,
    or took the logarithm or root of what has none.
    """

    code = "SPP401"
    title = "values that are not finite"
    severity = Severity.ERROR

    share: float = threshold(
        0.0, "of the values of a tensor; any; SageMaker Debugger, ExplodingTensor"
    )

    def judge(self, evidence: Evidence) -> Outcome:
        """Look for the first tensor with NaN or infinity: weights, activations, then gradients."""
        rows = pd.concat([evidence.curves, evidence.under_loss])
        spoilt = rows[rows["nonfinite_fraction"] > self.share]
        if spoilt.empty:
            return Outcome()
        first = self._first(spoilt)
        return Outcome((self._report(evidence, first, spoilt),))

    def _first(self, spoilt: pd.DataFrame) -> Row:
        order = [Signal.WEIGHT, Signal.EFFECTIVE_WEIGHT, Signal.ACTIVATION]
        rank = spoilt["signal"].map({str(s): i for i, s in enumerate(order)}).astype(float)
        backward = rank.isna()  # gradients meet the deepest layer first
        depth = spoilt["depth"].astype(float).where(~backward, -spoilt["depth"].astype(float))
        # a container only repeats what one of its layers returned
        container = (spoilt["role"] == Role.CONTAINER).astype(int)
        keys = pd.DataFrame({"rank": rank.fillna(9), "container": container, "depth": depth})
        order_of = keys.reset_index(drop=True).sort_values(
            ["rank", "container", "depth"], kind="stable"
        )
        return _row(spoilt, int(order_of.index[0]))

    def _report(self, evidence: Evidence, first: Row, spoilt: pd.DataFrame) -> Finding:
        layer, signal, share = (
            str(first["layer"]),
            str(first["signal"]),
            first["nonfinite_fraction"],
        )
        seeds = spoilt["seed"].nunique()
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
        rows = evidence.curves
        before = rows[
            (rows["signal"] == Signal.ACTIVATION)
            & (rows["role"] == Role.LEAF)
            & (rows["seed"] == first["seed"])
            & (rows["depth"] < first["depth"])
        ].sort_values("depth")
        if first["signal"] != Signal.ACTIVATION or before.empty:
            return ""
        last = before.tail(CONTEXT)
        sizes = np.maximum(last["maximum"].abs(), last["minimum"].abs())
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

    factor: float = threshold(4.0, "below the largest number of the format; unit scaling; ours")
    underflow: float = threshold(0.5, "share of float16 activations below 2^-14; ours")

    def judge(self, evidence: Evidence) -> Outcome:
        """Compare the largest magnitudes with the format in which they are stored."""
        rows = evidence.curves[evidence.curves["signal"] == Signal.ACTIVATION]
        rows = rows[rows["depth"].notna()].sort_values("depth")
        largest = rows["dtype"].map(LARGEST).astype(float)
        size = np.maximum(rows["maximum"].abs(), rows["minimum"].abs())
        over = rows[size > largest / self.factor]
        small = (rows["dtype"] == "float16") & (rows["float16_underflow_fraction"] > self.underflow)
        if not over.empty:
            return Outcome((self._too_large(evidence, _row(over)),))
        return (
            Outcome((self._too_small(evidence, _row(rows[small])),)) if small.any() else Outcome()
        )

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
