"""Try the fixes that findings name on copies of the network, and measure what they did."""

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd
from torch import nn

from sppkit.capture.calls.compiled_modules import original
from sppkit.errors import SppkitError
from sppkit.gate.evidence import EvidenceProbe, OnSeed
from sppkit.gate.fixes import CannotFixError, Network, apply_fix
from sppkit.inputs import ProbeBatch
from sppkit.probing.execution import build_model
from sppkit.probing.measurement import Model
from sppkit.recording import Recording
from sppkit.rules import Diagnosis, Finding, Fix, Severity
from sppkit.rules.finding import TriedFix
from sppkit.user_code import describe_exception

ALL_TOGETHER = "all of them together"

CALIBRATION_SEED = 2**31
"""Of the input that LSUV runs on: no seed of a probe has the same."""

_CALIBRATION_SAMPLES = 16

Judge = Callable[[Recording], Diagnosis]


def try_fixes(
    model: Model,
    diagnosis: Diagnosis,
    structure: pd.DataFrame,
    seeds: Sequence[int],
    judge: Judge,
    conditions: Mapping[str, Any],
    on_seed: OnSeed | None = None,
) -> tuple[TriedFix, ...]:
    """Try the fixes that findings name until one is enough; where none is, all of them together.

    Args:
        model: as the user gave it; it is copied, or built anew, and never changed.
        diagnosis: that named the fixes.
        structure: of the run that was judged.
        seeds: to probe with.
        judge: gives the verdict on a recording.
        conditions: under what is probed.
        on_seed: is called with each seed when it is done.

    Returns:
        What each fix did, in the order of the findings.
    """

    def outcome(fix: Fix, codes: tuple[str, ...], parts: Sequence[Fix]) -> TriedFix:
        fixed = FixedModel(model, parts, structure, conditions)
        try:
            after = judge(_probed(fixed, diagnosis.target, seeds, conditions, on_seed))
        except SppkitError as error:
            return _not_applied(fix, codes, str(error))
        return _compared(fix, codes, fixed.applied, diagnosis, after)

    named = fixes_named(diagnosis.counted)
    tried: list[TriedFix] = []
    for fix, codes in named.items():
        tried.append(outcome(fix, codes, [fix]))
        if tried[-1].verdict_after == "pass" and tried[-1].helped:
            return tuple(tried)
    working = [each.fix for each in tried if each.applied]
    if len(working) > 1:
        layers = tuple(dict.fromkeys(layer for fix in working for layer in fix.layers))
        codes = tuple(dict.fromkeys(code for fix in working for code in named[fix]))
        tried.append(outcome(Fix(ALL_TOGETHER, layers), codes, working))
    return tuple(tried)


def fixes_named(findings: Sequence[Finding]) -> dict[Fix, tuple[str, ...]]:
    """Collect different fixes with the codes of the rules that name them, those of errors first.

    What a warning names may be what mends an error, such as the fan of a group where a signal dies.
    Fixes of the same layers whose factors differ by less than a tenth are one: rules estimate them
    in different ways. The fixes of mere information are no remedies.
    """
    severities = (Severity.ERROR, Severity.WARNING)
    ordered = [finding for s in severities for finding in findings if finding.severity is s]
    named: dict[Fix, tuple[str, ...]] = {}
    for finding in ordered:
        if finding.fix is not None:
            fix = next((known for known in named if _are_alike(known, finding.fix)), finding.fix)
            named[fix] = tuple(dict.fromkeys((*named.get(fix, ()), finding.code)))
    return named


def _are_alike(one: Fix, other: Fix) -> bool:
    if (one.kind, one.layers) != (other.kind, other.layers):
        return False
    if one.factor is None or other.factor is None:
        return one.factor is other.factor
    return math.isclose(one.factor, other.factor, rel_tol=0.1)


class FixedModel:
    """A function that builds a network, or copies the user's, and applies fixes to it.

    Attributes:
        applied: what was changed, in words.
    """

    def __init__(
        self,
        model: Model,
        fixes: Sequence[Fix],
        structure: pd.DataFrame,
        conditions: Mapping[str, Any],
    ) -> None:
        self.applied: tuple[str, ...] = ()
        self._model, self._fixes, self._structure = model, fixes, structure
        self._conditions = EvidenceProbe(model, **conditions).conditions

    def __call__(self) -> nn.Module:
        """Build one.

        Raises:
            CannotFixError: one of the fixes cannot be applied.
        """
        given = self._model
        model = _copied(given) if isinstance(given, nn.Module) else build_model(given)
        model.train(self._conditions.mode == "train")
        network = Network(model, self._structure, self._batch)
        self.applied = tuple(words for fix in self._fixes for words in apply_fix(fix, network))
        return model

    def _batch(self) -> ProbeBatch:
        samples = self._conditions.batch_size or _CALIBRATION_SAMPLES
        return self._conditions.batch(CALIBRATION_SEED, samples)


def _copied(model: nn.Module) -> nn.Module:
    try:
        return copy.deepcopy(original(model))
    except Exception as error:  # whatever a user's __deepcopy__ or an odd attribute raises
        raise CannotFixError(
            f"{type(model).__name__} cannot be copied ({describe_exception(error)}), and the model "
            "itself is left alone; give a class or a function that builds it"
        ) from error


def _probed(
    model: Model,
    run: str,
    seeds: Sequence[int],
    conditions: Mapping[str, Any],
    on_seed: OnSeed | None,
) -> Recording:
    probe = EvidenceProbe(model, **{**conditions, "run": run})
    probe.measure(seeds, on_seed)
    return probe.recording()


def _not_applied(fix: Fix, codes: tuple[str, ...], reason: str) -> TriedFix:
    return TriedFix(
        fix,
        codes,
        applied=(),
        helped=False,
        verdict_before="",
        verdict_after="",
        probability_before=None,
        probability_after=None,
        measured=(),
        remark=f"it cannot be applied: {reason}",
    )


def _compared(
    fix: Fix,
    codes: tuple[str, ...],
    applied: tuple[str, ...],
    before: Diagnosis,
    after: Diagnosis,
) -> TriedFix:
    values, values_after = _measured(before), _measured(after)
    new = _codes(after, Severity.ERROR) - _codes(before, Severity.ERROR)
    helped = not new and _counts(after) < _counts(before)
    return TriedFix(
        fix,
        codes,
        applied,
        helped=helped,
        verdict_before=before.verdict,
        verdict_after=after.verdict,
        probability_before=before.probability_of_training,
        probability_after=after.probability_of_training,
        measured=tuple(
            (code, values.get(code), values_after.get(code)) for code in {**values, **values_after}
        ),
        remark=_remark(helped, new, after),
    )


def _measured(diagnosis: Diagnosis) -> dict[str, float | None]:
    """Give the first measured value of each code, errors before warnings."""
    found = [f for f in diagnosis.counted if f.severity is not Severity.INFO]
    return {finding.code: finding.measured for finding in reversed(found)}


def _codes(diagnosis: Diagnosis, severity: Severity) -> set[str]:
    return {f.code for f in diagnosis.counted if f.severity is severity}


def _counts(diagnosis: Diagnosis) -> tuple[int, int]:
    found = [f.severity for f in diagnosis.counted]
    return found.count(Severity.ERROR), found.count(Severity.WARNING)


def _remark(helped: bool, new: set[str], after: Diagnosis) -> str:
    left = sorted(_codes(after, Severity.ERROR) - new)
    remain = f"{', '.join(left)} remain" if left else ""
    if helped:
        return f"it helps, and {remain}" if remain else ""
    arise = f"{', '.join(sorted(new))} arise" if new else ""
    reasons = "; ".join(part for part in (remain, arise) if part)
    return f"it does not help: {reasons or 'the same warnings remain'}"
