"""`sppkit.check`: probe, judge, draw more seeds where the verdict is not clear, try the fixes."""

import inspect
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from sppkit.errors import SppkitError
from sppkit.gate.evidence import EvidenceProbe, OnSeed
from sppkit.gate.seeds import CONFIDENCE, Clarity, clarity, next_number_of_seeds
from sppkit.gate.try_fix import try_fixes
from sppkit.probing.conditions import check as check_conditions
from sppkit.probing.measurement import Model
from sppkit.recording import Recording
from sppkit.rules import Diagnosis, Rule, judge
from sppkit.rules.judgement import rules_with
from sppkit.rules.selection import selected, with_thresholds
from sppkit.user_code import did_you_mean

MAXIMUM_SEEDS = 20

_JUDGING = set(inspect.signature(judge).parameters) - {"recording", "run"}
_PROBING = set(inspect.signature(EvidenceProbe).parameters) - {"model"}


class Probe(Protocol):
    """What gives evidence seed by seed: an `EvidenceProbe`, or recorded seeds that are replayed."""

    run: str
    is_instance: bool
    failed: dict[int, SppkitError]

    def measure(self, seeds: Iterable[int], on_seed: OnSeed | None = None) -> None:
        """Add seeds."""

    def recording(self) -> Recording:
        """Give what was measured so far."""


@dataclass(frozen=True)
class Examination:
    """A diagnosis and the recording that it rests on."""

    diagnosis: Diagnosis
    recording: Recording


def check(
    model: Model,
    *,
    seeds: int = 5,
    maximum_seeds: int = MAXIMUM_SEEDS,
    seed: int = 0,
    rules: Iterable[Rule] = (),
    select: Iterable[str] = (),
    ignore: Iterable[str] = (),
    extend_select: Iterable[str] = (),
    thresholds: Mapping[str, Mapping[str, float]] | None = None,
    per_layer_ignores: Mapping[str, Any] | None = None,
    try_fix: bool = False,
    on_seed: OnSeed | None = None,
    **conditions: Any,
) -> Diagnosis:
    """Judge whether a network propagates signals well enough to be trained.

    Every seed is probed twice: from the unit gradient for the curves, and under a training loss for
    the gradients. The loss is the cross-entropy over the channels of each output (with random
    labels where the input has none), a mean square against random targets where an output has one
    channel, and the model's own where it returns one. More seeds are drawn where the evidence lies
    so near a threshold that others might give another verdict.

    Small classifiers are trained for a moment, too, with the first two seeds and undone afterwards:
    up to 150 steps on a task made up for them say whether steps lead anywhere. What is too large,
    or no classifier, is judged without; `rehearsal=False` leaves it out.

    A model that is handed over as an instance is left exactly as it was found, and has one
    initialisation: the verdict is about these weights. Hand over a class or a function to have
    initialisations judged.

    Args:
        model: a module, or a function (or class) without arguments that builds one.
        seeds: number of seeds to begin with.
        maximum_seeds: number of seeds to stop at; `seeds` are drawn in any case.
        seed: the first seed.
        rules, select, ignore, extend_select, thresholds, per_layer_ignores: as in
            `sppkit.rules.judge`.
        try_fix: apply the fixes that findings name to copies in memory, probe these, and report
            before and after in `tried_fixes`.
        on_seed: is called with each seed when it is done.
        **conditions: under what is probed, as in `sppkit.probe`: `input_size`, `input`,
            `batch_size`, `input_dtype`, `vocabulary`, `mode`, `device`, `amp`, `activate`,
            `include`, `exclude`, `channel_axis`, `blocks`, `residual_branches`, `stem`, `mask`,
            `run`; `loss`, a function of output and labels in place of the loss above; and
            `rehearsal`.

    Returns:
        The diagnosis. Seeds for which the model failed are in its `not_captured`; what else one
        has to know of the seeds is in the remarks of its `settings`.

    Raises:
        ProbeError: the model could not be measured for any seed.
        ValueError: an argument is out of its range, or names no rule, threshold or layer.
        TypeError: an unknown keyword, or one of the rules is none.

    Examples:
        >>> import torch, sppkit
        >>> def build():
        ...     layers = [torch.nn.Linear(64, 64) for _ in range(3)]
        ...     return torch.nn.Sequential(*layers, torch.nn.Linear(64, 10))
        >>> sppkit.check(build, input_size=(64,)).verdict
        'pass'
    """
    return examine(
        model,
        seeds=seeds,
        maximum_seeds=maximum_seeds,
        seed=seed,
        rules=rules,
        select=select,
        ignore=ignore,
        extend_select=extend_select,
        thresholds=thresholds,
        per_layer_ignores=per_layer_ignores,
        try_fix=try_fix,
        on_seed=on_seed,
        **conditions,
    ).diagnosis


def examine(
    model: Model,
    *,
    seeds: int = 5,
    maximum_seeds: int = MAXIMUM_SEEDS,
    seed: int = 0,
    try_fix: bool = False,
    on_seed: OnSeed | None = None,
    **arguments: Any,
) -> Examination:
    """Do what `check` does, and hand over the recording too.

    Args:
        model, seeds, maximum_seeds, seed, try_fix, on_seed: as in `check`.
        **arguments: the others of `check`.
    """
    judging, conditions = _sorted(arguments)
    probe = EvidenceProbe(model, **conditions)
    check_conditions(probe.conditions, seeds, seed)
    judge_arguments = {key: _listed(value) for key, value in judging.items()}
    _check_rules(**judge_arguments)
    examination = decide(probe, seed, seeds, max(seeds, maximum_seeds), judge_arguments, on_seed)
    if not try_fix:
        return examination
    tried = try_fixes(
        model,
        examination.diagnosis,
        examination.recording.structure(),
        range(seed, seed + seeds),
        lambda recording: judge(recording, **judge_arguments),
        conditions,
        on_seed,
    )
    return replace(examination, diagnosis=replace(examination.diagnosis, tried_fixes=tried))


def decide(
    probe: Probe,
    first: int,
    seeds: int,
    maximum: int,
    judging: Mapping[str, Any],
    on_seed: OnSeed | None = None,
) -> Examination:
    """Probe and judge until the verdict is clear or the seeds are used up.

    Args:
        probe: measures seeds.
        first, seeds, maximum: the first seed, how many to begin with, how many to stop at.
        judging: arguments of `sppkit.rules.judge`.
        on_seed: is called with each seed when it is done.
    """
    drawn, wanted = 0, seeds
    while True:
        probe.measure(range(first + drawn, first + wanted), on_seed)
        drawn = wanted
        recording = probe.recording()
        diagnosis = judge(recording, **judging)
        found = clarity(diagnosis)
        if found.is_clear or drawn >= maximum or seeds == 1 or not diagnosis.observed:
            break
        wanted = next_number_of_seeds(drawn, maximum)
    remarks = [*_remarks_on_seeds(probe, seeds, drawn, found), *_remarks_on_heads(recording)]
    decision = {
        "seeds_asked": seeds,
        "seeds_drawn": drawn,
        "confidence": CONFIDENCE,
        "standard_errors_needed": found.needed if math.isfinite(found.needed) else None,
        "near": found.near,
    }
    return Examination(_with(diagnosis, recording, remarks, decision), recording)


def _with(
    diagnosis: Diagnosis, recording: Recording, remarks: list[str], decision: dict[str, Any]
) -> Diagnosis:
    """Write into metadata and settings how the decision came about."""
    metadata = recording.metadata[diagnosis.target]
    stated = {"remarks": [*metadata["remarks"], *remarks], "decision": decision}
    metadata |= stated
    return replace(diagnosis, settings={**diagnosis.settings, **stated})


def _remarks_on_seeds(probe: Probe, asked: int, drawn: int, found: Clarity) -> list[str]:
    remarks = []
    if probe.is_instance:
        remarks.append(
            "the model was given as an instance, which has one initialisation: the verdict is "
            "about these weights, and seeds vary the input only. Give a class or a function to "
            "have initialisations judged"
        )
    if probe.failed:
        failed = ", ".join(map(str, probe.failed))
        remarks.append(
            f"the verdict rests on {drawn - len(probe.failed)} of {drawn} seeds: the model failed "
            f"for {failed} ({next(iter(probe.failed.values()))})"
        )
    if asked == 1:
        remarks.append("one seed says nothing about others; the verdict may differ with the seed")
    elif drawn > asked:
        why = "" if found.is_clear else f", and it is a close call still ({_distances(found)})"
        remarks.append(f"{drawn} seeds instead of {asked}: the verdict was not clear{why}")
    elif not found.is_clear:
        remarks.append(f"a close call: with other seeds it may differ ({_distances(found)})")
    return remarks


def _distances(found: Clarity) -> str:
    return ", ".join(
        f"{code} is {abs(distance):.1f} standard errors {'beyond' if distance > 0 else 'within'} "
        f"its threshold, {found.needed:.1f} would be clear"
        for code, distance in found.near.items()
    )


def _remarks_on_heads(recording: Recording) -> list[str]:
    (metadata,) = recording.metadata.values()
    names = ", ".join(metadata.get("woken_head", ()))
    if not names:
        return []
    return [
        f"{names} starts at zero, or nearly, which is healthy and keeps gradients from the layers "
        "below: it was drawn from N(0, 1/fan-in) while probing"
    ]


def _sorted(arguments: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Tell arguments of the judge from conditions of the probe.

    Raises:
        TypeError: one belongs to neither.
    """
    for name in arguments:
        if name not in _JUDGING | _PROBING:
            known = sorted(_JUDGING | _PROBING | set(inspect.signature(check).parameters))
            raise TypeError(f"check() has no argument {name!r}.{did_you_mean(name, known)}")
    return (
        {key: value for key, value in arguments.items() if key in _JUDGING},
        {key: value for key, value in arguments.items() if key in _PROBING},
    )


def _check_rules(
    rules: Sequence[Rule] = (),
    select: Sequence[str] = (),
    ignore: Sequence[str] = (),
    extend_select: Sequence[str] = (),
    thresholds: Mapping[str, Mapping[str, float]] | None = None,
    per_layer_ignores: Mapping[str, Any] | None = None,
) -> None:
    """Refuse what is no rule, code or threshold before anything is measured."""
    known = with_thresholds(rules_with(rules), thresholds or {})
    selected(known, select, ignore, extend_select)


def _listed(value: Any) -> Any:
    """Make what is iterated over several times a tuple."""
    is_plain = value is None or isinstance(value, Mapping)
    return value if is_plain else (value,) if isinstance(value, str) else tuple(value)
