"""Rules about residual branches: silent or dominant, and zero-initialised on purpose."""

import math
from dataclasses import dataclass

import numpy as np

from sppkit.rules.branches import branch_ratios
from sppkit.rules.curve import compare
from sppkit.rules.evidence import Evidence
from sppkit.rules.finding import Finding, Fix, Severity
from sppkit.rules.rule import Outcome, Rule, threshold
from sppkit.signals import Signal


@dataclass(frozen=True)
class ResidualBranch(Rule):
    """Bring the residual branch to the scale of its skip path.

    A branch that adds next to nothing is no part of the network; one that drowns the skip path
    turns the residual network into a plain one. The third curve of a signal propagation plot, the
    variance at the end of the branch, is 1 in a normaliser-free network (Brock et al., 2021, arXiv
    2101.08692, section 3).
    """

    code = "SPP105"
    title = "residual branch silent or dominant"
    severity = Severity.WARNING

    silent: float = threshold(1e-4, "second moment of the branch over that of the block; ours")
    dominant: float = threshold(1e4, "second moment of the branch over that entering; ours")

    def judge(self, evidence: Evidence) -> Outcome:
        """Compare what each branch adds with what enters its block."""
        ratios = branch_ratios(evidence)
        if not ratios:
            return Outcome(skipped="no residual branches were found")
        for layer, values in ratios.items():
            quiet = compare(values, math.log10(self.silent), below=True).exceeded
            loud = compare(values, math.log10(self.dominant)).exceeded
            if (quiet and not evidence.silent) or loud:
                ratio = 10 ** float(np.nanmedian(values))
                return Outcome((self._report(evidence, layer, ratio),))
        return Outcome()

    def _report(self, evidence: Evidence, layer: str, ratio: float) -> Finding:
        what = "drowns the skip path" if ratio > 1 else "adds next to nothing"
        factor = ratio**-0.5
        return self.finding(
            evidence,
            layer,
            signal=Signal.ACTIVATION,
            statistic="second_moment of the branch / of what enters the block",
            measured=ratio,
            expected=f"between {self.silent:g} and {self.dominant:g}",
            message=f"the residual branch {what}: its second moment is {ratio:.3g} times that of "
            "the signal it is added to",
            advice=f"Multiply the weights at its end by {factor:.3g}, or the branch by a constant.",
            fix=Fix("scale initialisation", (layer,), factor),
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
        """Say which gains are (nearly) zero."""
        silent = evidence.silent
        if not silent:
            return Outcome()
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
