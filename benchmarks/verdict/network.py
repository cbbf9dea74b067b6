"""A network of the benchmark: what it is, how it is built, and a hash of all of that."""

import ast
import hashlib
import inspect
import json
import textwrap
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from functools import cache
from types import FunctionType
from typing import Any

import torch
from torch import nn

from benchmarks.verdict.faults import CHANGES, Injection, inject

Definition = Callable[..., Any]


@dataclass(frozen=True)
class Network:
    """One variant of an architecture.

    Args:
        family: name of the architecture; halves and folds of the networks share no family.
        fault: what is done to it, in words; "" for the family's healthy form.
        builder: a function of `networks`.
        settings: its arguments.
        injections: faults in single layers, put in after it is built.
    """

    family: str
    fault: str
    builder: Callable[..., nn.Module]
    settings: dict[str, Any] = field(default_factory=dict)
    injections: tuple[Injection, ...] = ()

    @property
    def name(self) -> str:
        """Family and fault."""
        return f"{self.family}: {self.fault}" if self.fault else self.family

    @property
    def injected_layer(self) -> str:
        """The layer of the only injection; "" where there is none or it is the whole network."""
        return self.injections[0].layer if len(self.injections) == 1 else ""

    def build(self) -> nn.Module:
        """Build it with torch's global random numbers, as a user's factory does."""
        model = self.builder(**self.settings)
        for injection in self.injections:
            model = inject(model, injection)
        return model

    def build_with(self, seed: int) -> nn.Module:
        """Build it from a seed."""
        torch.manual_seed(seed)
        return self.build()


def content_hash(network: Network) -> str:
    """Hash what a network is: settings, faults, own code, and its first weights.

    The code is that of the builder, of the faults and of the network's own modules, with all that
    they reach in this package. Comments, docstrings and formatting do not count. Of the weights
    their shapes and roots of mean squares count, to two digits: enough to notice another
    initialisation, too little to notice another processor.
    """
    with torch.random.fork_rng(devices=[]):
        model = network.build_with(0)
    changes = [CHANGES[i.kind] for i in network.injections if i.kind in CHANGES]
    modules = [type(module) for module in model.modules()]
    roots: list[Definition] = [network.builder, *changes, *modules]
    parts = {
        "settings": network.settings,
        "injections": [asdict(injection) for injection in network.injections],
        "code": [_meaning(definition) for definition in _reachable(roots)],
        "weights": [_rough(name, weight) for name, weight in model.named_parameters()],
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _rough(name: str, weight: torch.Tensor) -> str:
    size = weight.detach().double().square().mean().sqrt().item()
    return f"{name} {tuple(weight.shape)} {weight.requires_grad} {size:.1e}"


def _reachable(roots: Iterable[Definition]) -> list[Definition]:
    """List the functions and classes of this package that definitions use, in order of names."""
    found: dict[str, Definition] = {}
    open_ends = [root for root in roots if _is_ours(root)]
    while open_ends:
        definition = open_ends.pop()
        name = f"{definition.__module__}.{definition.__qualname__}"
        if name not in found:
            found[name] = definition
            open_ends += [item for item in _used_by(definition) if _is_ours(item)]
    return [found[name] for name in sorted(found)]


def _is_ours(item: Any) -> bool:
    # A class or function, and not one that was made inside another
    return (
        isinstance(item, FunctionType | type)
        and str(item.__module__).startswith("benchmarks.")
        and "<" not in item.__qualname__
    )


def _used_by(definition: Definition) -> list[Any]:
    """Look up all names in a definition's source among the globals of its module."""
    surroundings = vars(inspect.getmodule(definition))
    names = {n.id for n in ast.walk(_tree(definition)) if isinstance(n, ast.Name)}
    return [surroundings[name] for name in names if name in surroundings]


@cache
def _tree(definition: Definition) -> ast.AST:
    return ast.parse(textwrap.dedent(inspect.getsource(definition)))


@cache
def _meaning(definition: Definition) -> str:
    """Give the source of a definition without comments, docstrings and formatting."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(definition)))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and _is_text(body[0]):
            body.pop(0)
    return ast.dump(tree)


def _is_text(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )
