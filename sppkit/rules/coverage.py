"""Rules about the measurement itself: what was not observed, and what depends on the batch."""

from dataclasses import dataclass

from sppkit.rules.evidence import Evidence
from sppkit.rules.finding import Severity
from sppkit.rules.rule import Outcome, Rule, threshold
from sppkit.signals import Signal


@dataclass(frozen=True)
class Coverage(Rule):
    """Measure all of the network: a verdict about part of it is none.

    Layers that are never called have no signal: remove them, or probe with an input that reaches
    them. What could not be read is listed with its reason as not captured.
    """

    code = "SPP901"
    title = "coverage"
    severity = Severity.ERROR
    foretells = False

    share: float = threshold(0.2, "of the parameters unobserved; TrainCheck; ours")

    def judge(self, evidence: Evidence) -> Outcome:
        """Add up the parameters of layers of which nothing was read."""
        own = evidence.structure[evidence.structure["operation"] == ""]
        own = own[own["parameters"].fillna(0) > 0]
        if own.empty:
            return Outcome(skipped="the network has no parameters")
        seen = {
            *evidence.rows.where(signal=Signal.ACTIVATION)["layer"],
            *evidence.rows.where(signal=Signal.WEIGHT_GRADIENT)["layer"],
        }
        missing = own[~own["layer"].isin(seen)]
        share = float(missing["parameters"].sum() / own["parameters"].sum())
        if share <= self.share:
            return Outcome()
        first = str(missing["layer"].iloc[0])
        return Outcome((
            self.finding(
                evidence,
                first,
                statistic="share of parameters unobserved",
                measured=share,
                expected=f"below {self.share:g}",
                message=f"{share:.0%} of the parameters belong to {len(missing)} layers of which "
                f"nothing was read, the first {first!r}",
                advice="Probe with an input that reaches them, widen include/exclude, or remove "
                "them. The reasons are listed as not captured.",
            ),
        ))  # fmt: skip


@dataclass(frozen=True)
class BatchDependence(Rule):
    """Give batch normalisation more values: its statistics are noise.

    In train mode each channel is normalised by the values of this batch. Of few, mean and variance
    are noise, and what one sample becomes depends on the others: use a larger batch or input, or
    group or layer normalisation.
    """

    code = "SPP903"
    title = "batch dependence"
    severity = Severity.WARNING
    foretells = False

    fewest: float = threshold(8.0, "values per channel; ours")

    def judge(self, evidence: Evidence) -> Outcome:
        """Look for batch normalisation over few values."""
        if evidence.metadata.get("mode") == "eval":
            return Outcome(skipped="in eval mode batch normalisation does not look at the batch")
        norms = evidence.structure[evidence.structure["computes"] == "batch_norm"]
        if norms.empty:
            return Outcome(skipped="no batch normalisation")
        rows = evidence.outputs.among("layer", set(norms["layer"]))
        few = rows.keep(rows["samples"] < self.fewest).by("place")
        if not len(few):
            return Outcome()
        layer, samples = str(few["layer"][0]), int(few["samples"][0])
        return Outcome((
            self.finding(
                evidence,
                layer,
                signal=Signal.ACTIVATION,
                statistic="samples",
                measured=float(samples),
                expected=f"at least {self.fewest:g}",
                message=f"batch normalisation over {samples} values per channel in "
                f"{len(set(few['layer']))} layers: what a sample becomes depends on its neighbours",
                advice="Use a larger batch or input, in training too, or group normalisation.",
            ),
        ))  # fmt: skip
