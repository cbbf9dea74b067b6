"""Choose layers by name: globs, or regular expressions behind `re:`."""

import difflib
import fnmatch
import re
from collections.abc import Callable, Iterable, Sequence

Patterns = str | Sequence[str]
Matcher = Callable[[str], bool]


def matcher(patterns: Patterns | None) -> Matcher | None:
    """Make a predicate on layer names that holds where any of the patterns matches.

    A glob matches the whole name and its `*` crosses dots; a regular expression is searched for.

    >>> matches = matcher(["layer1.*", "re:bn[12]$"])
    >>> [name for name in ("layer1.0.conv", "layer2.0.bn2", "fc") if matches(name)]
    ['layer1.0.conv', 'layer2.0.bn2']

    Raises:
        ValueError: a regular expression does not compile.
    """
    if patterns is None:
        return None
    expressions = [_compile(p) for p in ([patterns] if isinstance(patterns, str) else patterns)]
    return lambda name: any(expression.search(name) for expression in expressions)


def _compile(pattern: str) -> re.Pattern[str]:
    if not pattern.startswith("re:"):
        return re.compile(rf"\A{fnmatch.translate(pattern)}")
    try:
        return re.compile(pattern[3:])
    except re.error as error:
        raise ValueError(f"the regular expression {pattern[3:]!r} is broken: {error}") from error


def require_match(argument: str, patterns: Patterns | None, names: Iterable[str]) -> None:
    """Refuse patterns that match no layer: a typing error must not look like an empty network.

    Raises:
        ValueError: one of the patterns matches no name.
    """
    known = [name for name in names if name]
    for pattern in [patterns] if isinstance(patterns, str) else patterns or ():
        matches = matcher(pattern)
        if matches and not any(matches(name) for name in known):
            near = difflib.get_close_matches(pattern.strip("*."), known, n=3, cutoff=0.3)
            raise ValueError(
                f"{argument}={pattern!r} matched no layer. The model has {len(known)} layers, "
                f"such as {', '.join(repr(name) for name in near or known[:3])}."
            )
