"""Which rules are asked, and which findings are set aside: the words of select, ignore and co."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from sppkit.patterns import matcher
from sppkit.rules.finding import Finding
from sppkit.rules.rule import RuleBase

ALL = "ALL"

AnyRule = TypeVar("AnyRule", bound=RuleBase)


def selected(
    rules: Sequence[AnyRule],
    select: Iterable[str] = (),
    ignore: Iterable[str] = (),
    extend_select: Iterable[str] = (),
) -> tuple[AnyRule, ...]:
    """Choose rules by code or by the beginning of one ("SPP1"), or "ALL"; the longest match wins.

    Raises:
        ValueError: a selector fits no rule.
    """
    wanted = [
        *(_known(s, rules) for s in select or (ALL,)),
        *(_known(s, rules) for s in extend_select),
    ]
    unwanted = [_known(selector, rules) for selector in ignore]
    return tuple(
        rule
        for rule in rules
        if (reach := _reach(rule.code, wanted)) >= 0 and reach > _reach(rule.code, unwanted)
    )


def _known(selector: str, rules: Sequence[RuleBase]) -> str:
    codes = [rule.code for rule in rules]
    if selector == ALL or (selector and any(code.startswith(selector) for code in codes)):
        return selector
    near = max(codes, key=lambda code: _letters_in_place(code, selector.upper()), default="")
    alike = _letters_in_place(near, selector.upper()) > len(near) / 2
    hint = f" Did you mean {near!r}?" if alike else ""
    raise ValueError(
        f"{selector!r} is no code of a rule, nor the beginning of one.{hint} "
        f"Rules: {', '.join(codes)}."
    )


def _letters_in_place(code: str, other: str) -> int:
    return sum(letter == its for letter, its in zip(code, other, strict=False))


def _reach(code: str, selectors: Iterable[str]) -> int:
    """Return how many letters of a code the most specific selector fixes; -1 where none fits."""
    lengths = [0 if s == ALL else len(s) for s in selectors if s == ALL or code.startswith(s)]
    return max(lengths, default=-1)


def with_thresholds(
    rules: Sequence[AnyRule], thresholds: Mapping[str, Mapping[str, float]]
) -> tuple[AnyRule, ...]:
    """Replace thresholds by the code of their rule.

    Raises:
        ValueError: no rule has that code, or it has no such threshold.
    """
    for code in thresholds:
        if code not in {rule.code for rule in rules}:
            raise ValueError(
                f"thresholds are given for {code!r}, which is no rule. "
                f"Rules: {', '.join(rule.code for rule in rules)}."
            )
    return tuple(rule.with_thresholds(dict(thresholds.get(rule.code, {}))) for rule in rules)


def mark_ignored(
    findings: Iterable[Finding], per_layer_ignores: Mapping[str, Any]
) -> tuple[Finding, ...]:
    """Give findings in ignored layers the reason; they stay visible and do not count.

    Args:
        findings: of all rules.
        per_layer_ignores: pattern of layer names -> codes, or {"codes": [...], "reason": "..."}.
    """
    ignores = [_ignore(pattern, entry) for pattern, entry in per_layer_ignores.items()]
    return tuple(_marked(finding, ignores) for finding in findings)


def _ignore(pattern: str, entry: Any) -> tuple[str, tuple[str, ...], str]:
    if isinstance(entry, Mapping):
        codes, reason = entry.get("codes", ()), str(entry.get("reason", ""))
    else:
        codes, reason = entry, ""
    listed = (codes,) if isinstance(codes, str) else tuple(codes)
    return pattern, listed, reason or f"per-layer ignore {pattern!r}"


def _marked(finding: Finding, ignores: list[tuple[str, tuple[str, ...], str]]) -> Finding:
    for pattern, codes, reason in ignores:
        matches = matcher(pattern)
        if matches and matches(finding.layer) and _reach(finding.code, codes) >= 0:
            return replace(finding, ignored=reason)
    return finding
