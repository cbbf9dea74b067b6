"""The weighing rule: the probability that the network trains, from the named statistics.

Its coefficients are fitted by benchmarks/verdict to networks that really were trained, and live in
weighing.json beside this file; nothing here is set by hand.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from sppkit.rules.curve import Array, compare, middle
from sppkit.rules.evidence import Evidence
from sppkit.rules.finding import Finding, Fix, Severity
from sppkit.rules.named import named_by_seed
from sppkit.rules.offender import first_offender
from sppkit.rules.rule import Outcome, Rule, threshold

COEFFICIENTS = Path(__file__).with_name("weighing.json")

STRONGEST = 3
"""How many statistics a message names."""


@dataclass(frozen=True)
class Weighing:
    """A model of the probability that a network trains.

    Attributes:
        content: of weighing.json. Logistic: the logit is the intercept plus, for each statistic x,
            coefficient (x - mean) / scale, plus for each of its bends coefficient max(0, at - x)
            (side "below") or coefficient max(0, x - at) (side "above"). The linear part may be
            missing, and an undefined statistic adds nothing. Tree: nodes {"statistic", "at",
            "below", "above"}, leaves {"probability"}; an undefined statistic goes the way of the
            node's "undefined". Beside the model "rehearsed" may hold the probability after a
            rehearsal of training that succeeded, and "unrehearsed" another model, for networks
            without a rehearsal.
    """

    content: Mapping[str, Any]

    def suited_to(self, evidence: Evidence) -> "Weighing":
        """Choose between the models with and without a rehearsal of training."""
        if "unrehearsed" in self.content and evidence.not_rehearsed:
            return Weighing(self.content["unrehearsed"])
        return self

    def logits(self, statistics: Mapping[str, Array]) -> Array:
        """Return the logit of training for each seed, (S,)."""
        if self.content["kind"] == "tree":
            seeds = range(len(next(iter(statistics.values()))))
            of_seeds = ({name: v[seed] for name, v in statistics.items()} for seed in seeds)
            return np.array([_logit(_descend(self.content["tree"], one)) for one in of_seeds])
        parts = self.contributions(statistics).values()
        return np.float64(self.content["intercept"]) + sum(parts, np.zeros(1))

    def contributions(self, statistics: Mapping[str, Array]) -> dict[str, Array]:
        """Return what each statistic adds to the logit, (S,)."""
        if self.content["kind"] == "tree":
            return {}
        weighed = self.content["statistics"]
        return {name: _term(statistics[name], entry) for name, entry in weighed.items()}

    @property
    def threshold(self) -> float:
        """The probability below which a network is taken not to train."""
        return float(self.content.get("threshold", 0.5))


def _term(values: Array, entry: Mapping[str, Any]) -> Array:
    term = np.zeros_like(values)
    if "coefficient" in entry:
        term = entry["coefficient"] * (values - entry["mean"]) / entry["scale"]
    for bend in entry.get("bends", ()):
        distance = bend["at"] - values if bend["side"] == "below" else values - bend["at"]
        term = term + bend["coefficient"] * np.maximum(0.0, distance)
    return np.where(np.isnan(values), 0.0, term)


def _descend(node: Mapping[str, Any], values: Mapping[str, float]) -> float:
    while "probability" not in node:
        value = values[node["statistic"]]
        side = "below" if value < node["at"] else "above"
        node = node[node.get("undefined", "above") if math.isnan(value) else side]
    return float(node["probability"])


def _logit(probability: float) -> float:
    clipped = min(max(probability, 1e-6), 1.0 - 1e-6)
    return math.log(clipped / (1.0 - clipped))


@cache
def fitted() -> Weighing | None:
    """Read the fitted coefficients; None before the benchmark has fitted any."""
    if not COEFFICIENTS.exists():
        return None
    return Weighing(json.loads(COEFFICIENTS.read_text()))


def probability_of_training(evidence: Evidence) -> float | None:
    """Return the probability at the median logit over seeds; None without coefficients."""
    weighing = fitted()
    if weighing is None:
        return None
    if "rehearsed" in weighing.content and evidence.rehearsal_succeeded:
        return float(weighing.content["rehearsed"])
    logits = weighing.suited_to(evidence).logits(named_by_seed(evidence))
    return _probability(float(np.median(logits)))


def _probability(logit: float) -> float:
    return 1.0 / (1.0 + math.exp(-max(min(logit, 500.0), -500.0)))


@dataclass(frozen=True)
class WeighedEvidence(Rule):
    """Weigh everything together: networks with statistics like these did not train.

    A small model, fitted to networks that were trained on real data with several optimisers and
    rates. The statistics that speak most against training are named; start with the layer that is.
    """

    code = "SPP001"
    title = "weighed evidence"
    severity = Severity.ERROR
    foretells = False  # it weighs a rehearsal itself

    probability: float = threshold(
        float("nan"), "of training; NaN: as fitted by benchmarks/verdict (weighing.json)"
    )

    def judge(self, evidence: Evidence) -> Outcome:
        """Compare the probability that the network trains with the fitted threshold."""
        weighing = fitted()
        if weighing is None:
            return Outcome(skipped="there are no fitted coefficients (weighing.json)")
        if not len(evidence.gradient_norms):
            return Outcome(skipped="no gradients under a real loss were recorded")
        if evidence.rehearsal_succeeded:
            return Outcome()
        by_seed, weighing = named_by_seed(evidence), weighing.suited_to(evidence)
        limit = weighing.threshold if math.isnan(self.probability) else self.probability
        comparison = compare(weighing.logits(by_seed), _logit(limit), below=True)
        if not comparison.exceeded:
            return Outcome(margin=comparison.margin)
        finding = self._report(evidence, weighing, by_seed, limit)
        return Outcome((finding,), margin=comparison.margin)

    def _report(
        self, evidence: Evidence, weighing: Weighing, by_seed: Mapping[str, Array], limit: float
    ) -> Finding:
        probability = _probability(float(np.median(weighing.logits(by_seed))))
        reasons = _strongest(weighing.contributions(by_seed), by_seed)
        offender = first_offender(evidence)
        return self.finding(
            evidence,
            offender.layer if offender else "",
            statistic="probability of training",
            measured=probability,
            expected=f"above {limit:g}",
            message=f"networks like this one did not train: probability {probability:.2g}"
            + (f"; against it: {reasons}" if reasons else "")
            + (f"; {offender.why}" if offender else ""),
            advice=offender.advice if offender else "Rescale the weights layer by layer (LSUV).",
            fix=offender.fix if offender and offender.fix else Fix("LSUV", evidence.hidden),
        )


def _strongest(contributions: Mapping[str, Array], by_seed: Mapping[str, Array]) -> str:
    medians = {name: float(np.median(part)) for name, part in contributions.items()}
    against = sorted((part, name) for name, part in medians.items() if part < 0)[:STRONGEST]
    return ", ".join(
        f"{name.replace('_', ' ')} {10 ** middle(by_seed[name]):.2g}" for _, name in against
    )
