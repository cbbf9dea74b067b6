"""What is known of a reference network before it is built."""

import functools
import importlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

SMALL_PARAMETERS = 1_000_000
SMALL_INPUT = 3 * 64 * 64


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A reference network.

    Attributes:
        name: what people type, as in `ref:nf_resnet26`.
        family: what it is listed with, such as "normaliser-free".
        build: where its factory is, "module:function"; all arguments have defaults.
        arguments: the factory's arguments that make it this network, where they are not its
            defaults: {"depth": 101}.
        paper: title, authors, year, arXiv number.
        summary: one line: what it is.
        expectation: one line: what its signal propagation plot should look like.
        input_size: a size of one sample that suits it, without the batch.
        parameters: how many it has.
        dead_at_initialization: whether it is here to show how a network fails: no picture reaches
            its logits, or no gradient its first layers.
    """

    name: str
    family: str
    build: str
    paper: str
    summary: str
    expectation: str
    input_size: tuple[int, ...]
    parameters: int
    arguments: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))
    dead_at_initialization: bool = False

    @property
    def is_small(self) -> bool:
        """Say whether a processor probes and trains it within seconds."""
        inside = math.prod(self.input_size) <= SMALL_INPUT
        return inside and self.parameters <= SMALL_PARAMETERS

    def factory(self) -> "Callable[..., nn.Module]":
        """Import the factory (and, with it, torch)."""
        module, function = self.build.split(":")
        general: Callable[..., nn.Module] = getattr(importlib.import_module(module), function)
        if not self.arguments:
            return general
        factory = functools.partial(general, **self.arguments)
        factory.__doc__ = general.__doc__
        return factory


def variant_of(
    reference: Reference,
    name: str,
    summary: str,
    parameters: int,
    arguments: Mapping[str, object] | None = None,
    **changes: Any,
) -> Reference:
    """Describe a network that is as another of its family where nothing is said.

    Args:
        reference: the other network.
        name: its name.
        summary: what it is.
        parameters: how many it has.
        arguments: of the factory, put over those of the other network.
        **changes: other attributes that differ.

    Raises:
        TypeError: no such attribute.
    """
    merged = MappingProxyType({**reference.arguments, **(arguments or {})})
    return replace(
        reference, name=name, summary=summary, parameters=parameters, arguments=merged, **changes
    )
