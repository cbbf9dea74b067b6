"""Parameters in groups by name: what is decayed, what is slowed, what is left alone."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from sppkit.patterns import Patterns, matcher


def choose_parameters(
    model: nn.Module, patterns: Patterns | None, *, argument: str = "patterns"
) -> dict[str, nn.Parameter]:
    """Choose parameters by name.

    Args:
        model: whose.
        patterns: globs that match the whole name, their `*` crosses dots, or regular expressions
            behind `re:`; None chooses none.
        argument: what to call them in the message.

    Raises:
        ValueError: a pattern matches no parameter: a typing error must not pass for a rule.
    """
    named = dict(model.named_parameters())
    chosen: dict[str, nn.Parameter] = {}
    for pattern in [patterns] if isinstance(patterns, str) else patterns or ():
        matches = matcher(pattern)
        found = {name: p for name, p in named.items() if matches and matches(name)}
        if not found:
            near = difflib.get_close_matches(pattern.strip("*."), named, n=3, cutoff=0.3)
            raise ValueError(
                f"{argument}={pattern!r} matched no parameter. The model has {len(named)}, such as "
                f"{', '.join(map(repr, near or list(named)[:3]))}; a glob matches the whole name: "
                f"'*{pattern.strip('*')}*' matches within."
            )
        chosen |= found
    return chosen


@dataclass(frozen=True)
class GroupRule:
    """What is different for some parameters.

    Attributes:
        patterns: names, globs or regular expressions; see `choose_parameters`.
        rate_factor: what the learning rate is multiplied by; factors of several rules multiply.
        weight_decay: in place of the optimiser's; of several rules the last one counts. None leaves
            it.
    """

    patterns: Patterns
    rate_factor: float = 1.0
    weight_decay: float | None = None


def parameter_groups(
    model: nn.Module, rules: Sequence[GroupRule], *, learning_rate: float, weight_decay: float = 0.0
) -> list[dict[str, Any]]:
    """Put a model's parameters into groups for an optimiser of torch.

    Args:
        model: whose parameters; those that need no gradient are left out.
        rules: what is different for some of them.
        learning_rate: of the rest.
        weight_decay: of the rest.

    Returns:
        Groups that share both numbers, in order of first appearance: "params", "lr", "weight_decay"
        and "names", the parameters' names. `torch.optim.SGD(groups)` keeps the names.

    Raises:
        ValueError: a pattern matches no parameter.

    Examples:
        >>> model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
        >>> groups = parameter_groups(model, [GroupRule("*bias", 0.1, 0.0)], learning_rate=1.0)
        >>> [(group["names"], group["lr"]) for group in groups]
        [(['0.weight', '1.weight'], 1.0), (['0.bias', '1.bias'], 0.1)]
    """
    chosen = [set(choose_parameters(model, rule.patterns)) for rule in rules]
    groups: dict[tuple[float, float], dict[str, Any]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        rate, decay = learning_rate, weight_decay
        for rule, names in zip(rules, chosen, strict=True):
            if name in names:
                rate *= rule.rate_factor
                decay = decay if rule.weight_decay is None else rule.weight_decay
        empty = {"params": [], "lr": rate, "weight_decay": decay, "names": []}
        group = groups.setdefault((rate, decay), empty)
        group["params"].append(parameter)
        group["names"].append(name)
    return list(groups.values())
