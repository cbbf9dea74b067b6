"""Rules about residual branches: silent or dominant, and zero-initialised on purpose."""

import math
from dataclasses import dataclass

import numpy as np

from sppkit.rules.branches import branch_ratios
from sppkit.rules.curve import FLOOR, compare, median, middle
from sppkit.rules.evidence import Evidence
from sppkit.rules.finding import Finding, Fix, Severity
from sppkit.rules.rule import Outcome, Rule, threshold
from sppkit.signals import Signal


@dataclass(frozen=True)
class ResidualBranch(Rule):
    """Bring the residual branches to the scale of their skip paths.

    A branch that adds next to nothing is no part of the network; branches that drown their skip
    paths multiply the signal from block to block, and the network is a plain one with exploding
    gains. The third curve of a signal propagation plot, the variance at the end of the branch, is 1
    in a normaliser-free network (Brock et al., 2021, arXiv 2101.08692, section 3).
    """

    code = "SPP105"
    title = "residual branch silent or dominant"
    severity = Severity.ERROR

    silent: float = threshold(1e-6, "second moment of a branch over that entering, a warning; ours")
    dominant: float = threshold(1e4, "the same; ours")
    median: float = threshold(
        30.0, "median over branches, an error; benchmarks/verdict: most that trained 1.6"
    )

    def judge(self, evidence: Evidence) -> Outcome:
        """Compare what each branch adds with what enters its block."""
        ratios = branch_ratios(evidence)
        if not ratios:
            return Outcome(skipped="no residual branches were found, or all have learned gains")
        of_all = compare(median(np.stack(list(ratios.values())), axis=0), math.log10(self.median))
        for layer, values in ratios.items():
            zero = middle(values) <= FLOOR  # something in it begins at zero
            quiet = not zero and compare(values, math.log10(self.silent), below=True).exceeded
            limit = math.log10(self.median if of_all.exceeded else self.dominant)
            loud = compare(values, limit).exceeded
            if (quiet and not evidence.silent) or loud:
                severity = Severity.ERROR if of_all.exceeded else Severity.WARNING
                ratio = 10 ** middle(values)
                report = self._report(evidence, layer, ratio, severity)
                return Outcome((report,), margin=of_all.margin)
        return Outcome(margin=of_all.margin)

    def _report(self, evidence: Evidence, layer: str, ratio: float, severity: Severity) -> Finding:
        what = "drowns the skip path" if ratio > 1 else "adds next to nothing"
        every = " here and at most blocks" if severity is Severity.ERROR else ""
        ends = tuple(branch_ratios(evidence)) if severity is Severity.ERROR else (layer,)
        factor = ratio**-0.5
        return self.finding(
            evidence,
            layer,
            signal=Signal.ACTIVATION,
            statistic="second_moment of the branch / of what enters the block",
            measured=ratio,
            expected=f"between {self.silent:g} and {self.dominant:g}, below {self.median:g} at the "
            "median block",
            severity=severity,
            message=f"the residual branch {what}{every}: its second moment is {ratio:.3g} times "
            "that of the signal it is added to",
            advice=f"Multiply the weights at its end by {factor:.3g}, or the branch by a constant.",
            fix=Fix("scale initialisation", ends, factor),
        )


@dataclass(frozen=True)
class ZeroInitialisedBranches(Rule):
    """Nothing to mend: the plot of this network at initialisation shows its skip paths only.

    SkipInit, ReZero, Fixup, LayerScale and zero-gamma batch normalisation begin so and train well.
    `--activate` sets the gains to one while measuring, and shows the branches.
    """

    code = "SPP106"
    title = "zero-initialised residual branches"
    severity = Severity.INFO

    def judge(self, evidence: Evidence) -> Outcome:
        """Say which gains are (nearly) zero, and whether they will stay so."""
        silent = evidence.silent
        if not silent:
            return Outcome()
        asleep = [name for name in silent if _never_wakes(evidence, name)]
        if len(asleep) > len(silent) / 2:
            return Outcome((self._dead(evidence, asleep, silent),))
        layer = silent[0].rpartition(".")[0]
        return Outcome((
            self.finding(
                evidence,
                layer,
                signal=Signal.WEIGHT,
                statistic="largest magnitude",
                measured=None,
                expected="any",
                message=f"{len(silent)} residual branches start silent, the first through "
                f"{silent[0]!r}"
                + (" (set to one while measuring)" if evidence.metadata.get("activated") else ""),
                advice="Nothing to mend. Measure with --activate to see the branches.",
            ),
        ))  # fmt: skip

    def _dead(self, evidence: Evidence, asleep: list[str], silent: tuple[str, ...]) -> Finding:
        return self.finding(
            evidence,
            asleep[0].rpartition(".")[0],
            signal=Signal.WEIGHT_GRADIENT,
            statistic="second_moment",
            measured=0.0,
            expected="above 0",
            severity=Severity.ERROR,
            message=f"{len(asleep)} of {len(silent)} silent residual branches can never wake: what "
            f"silences them gets no gradient, the first of them {asleep[0]!r}",
            advice="Only the last gain or weight of a branch may start at zero: draw the weights "
            "before it at random.",
            fix=Fix("re-initialise", tuple(dict.fromkeys(n.rpartition(".")[0] for n in asleep))),
        )


def _never_wakes(evidence: Evidence, name: str) -> bool:
    """Say whether a parameter's gradient under a real loss is zero in all seeds."""
    layer, _, tensor = name.rpartition(".")
    rows = evidence.under_loss.where(signal=Signal.WEIGHT_GRADIENT, layer=layer, tensor=tensor)
    return bool(len(rows) and (rows["second_moment"] < 1e-40).all())
