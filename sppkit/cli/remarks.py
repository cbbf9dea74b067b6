"""What a reader of a result has to know and the numbers do not say."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from sppkit.recording import NotCaptured, Recording

_FEW = 3


def remarks_on(recording: Recording, *, all_names: bool = False) -> Iterator[str]:
    """Say what was found of each run besides its numbers, and what was not captured.

    Args:
        recording: of one or several runs.
        all_names: name every layer, not a few of many.
    """
    shown = None if all_names else _FEW
    for run, metadata in recording.metadata.items():
        name = f"{run}: " if len(recording.runs) > 1 else ""
        missing = [entry for entry in recording.not_captured if entry.run == run]
        for remark in (
            *_silent_gains(metadata, shown),
            *metadata.get("remarks", ()),
            *_grouped(missing, shown),
        ):
            yield f"{name}{remark}"


def listed(names: Sequence[str], shown: int | None) -> str:
    """List names, or a few of many.

    >>> listed(["a", "b", "c"], 2)
    'a, b and 1 more'
    """
    few = ", ".join(names[:shown])
    hidden = 0 if shown is None else max(0, len(names) - shown)
    return f"{few} and {hidden} more" if hidden else few


def _silent_gains(metadata: dict[str, Any], shown: int | None) -> Iterator[str]:
    gains = metadata.get("silent_residual_gains", ())
    weights = metadata.get("silent_residual_weights", ())
    names = f"{len(gains)} gain{'s' * (len(gains) > 1)} at zero ({listed(gains, shown)})"
    if gains and metadata.get("activated"):
        yield f"residual branches start silent, with {names}; they were set to one to measure"
    elif gains:
        yield (
            f"residual branches start silent, with {names}: the plot shows the skip paths alone. "
            "See the branches with --activate"
        )
    if weights:
        yield (
            f"residual branches end in weights of zero ({listed(weights, shown)}): they show "
            "nothing until the first step of training"
        )


def _grouped(missing: Sequence[NotCaptured], shown: int | None) -> Iterator[str]:
    by_reason: dict[str, list[str]] = defaultdict(list)
    for entry in missing:
        layer = entry.layer or ("the output" if entry.signal else "the whole model")
        by_reason[entry.reason].append(" of ".join(filter(None, (entry.signal, layer))))
    for reason, subjects in by_reason.items():
        yield f"{len(subjects)} not captured ({listed(subjects, shown)}): {reason}"
