"""Under which circumstances was measured, what was not captured, and what a training came to."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sppkit.recording import NotCaptured, Recording

_TOLD_ELSEWHERE = frozenset({"not_captured", "plan", "versions", "schema", "remarks"})


@dataclass(frozen=True)
class Trained:
    """What a training came to.

    Attributes:
        headings: of the columns.
        rows: a text for each column, a row for each run.
        settings: of each run by its name, as `run.json` has them.
        events: what was noticed, each with `run`, `step`, `severity` and `message`.
        outcomes: of each run by its name, in a few words; they stand beside its verdict, which is
            about the first step only.
    """

    headings: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    settings: Mapping[str, Mapping[str, Any]] | None = None
    events: tuple[Mapping[str, Any], ...] = ()
    outcomes: Mapping[str, str] = field(default_factory=dict)


def circumstances(recording: Recording) -> list[tuple[str, list[tuple[str, str]]]]:
    """Say of each run under which settings, by which versions and where it was measured."""
    return [(run, list(_facts(metadata))) for run, metadata in recording.metadata.items()]


def _facts(metadata: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, version in metadata.get("versions", {}).items():
        yield name, str(version)
    for name, value in metadata.items():
        if name not in _TOLD_ELSEWHERE and value not in (None, "", [], {}):
            yield name.replace("_", " "), written(value)


def written(value: Any) -> str:
    """Write a setting.

    >>> written({"rate": 0.1, "sizes": [[3, 8, 8]]}), written([0, 1]), written(True)
    ('rate 0.1; sizes 3x8x8', '0, 1', 'yes')
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return "; ".join(f"{name} {written(each)}" for name, each in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_size(each) or written(each) for each in value)
    return str(value)


def _size(value: Any) -> str:
    """Write the size of a tensor; "" of what is none."""
    is_size = isinstance(value, list | tuple) and all(isinstance(each, int) for each in value)
    return "x".join(map(str, value)) if is_size else ""


def missing(recording: Recording) -> list[tuple[str, list[NotCaptured]]]:
    """Group what was not captured by its reason."""
    groups: dict[str, list[NotCaptured]] = {}
    for entry in recording.not_captured:
        groups.setdefault(entry.reason, []).append(entry)
    return list(groups.items())


def remarks(recording: Recording) -> list[tuple[str, str]]:
    """List the remarks of each run."""
    return [
        (run, str(remark))
        for run, metadata in recording.metadata.items()
        for remark in metadata.get("remarks", ())
    ]


def flattened(settings: Mapping[str, Any], prefix: str = "") -> Sequence[tuple[str, str]]:
    """Write nested settings one by one.

    >>> flattened({"seed": 0, "recipe": {"epochs": 2}})
    [('seed', '0'), ('recipe.epochs', '2')]
    """
    found: list[tuple[str, str]] = []
    for name, value in settings.items():
        if isinstance(value, Mapping):
            found += flattened(value, f"{prefix}{name}.")
        elif value is not None:
            found.append((f"{prefix}{name}", written(value)))
    return found
