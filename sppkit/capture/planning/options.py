"""What to record: signals, layers, axes, places named by the user."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import nn

from sppkit.capture.tensors.masks import MaskFunction
from sppkit.capture.tensors.sampling import Sampling
from sppkit.patterns import Matcher, Patterns, matcher, require_match
from sppkit.signals import DEFAULT_SIGNALS, Signal


@dataclass(frozen=True)
class Options:
    """What to record of a model.

    Attributes:
        signals: which signals.
        include, exclude: layers by name.
        channel_axis: axis of the channels by pattern of the layer's name, over what was traced.
        blocks, residual_branches, stem: layers by name, over what provenance finds.
        mask: gives, for the arguments of a forward pass, the positions to read.
        extended: record the extended summary.
        phase: written to the table; None takes "train" or "eval" from the model's flag.
        granularity: "layer", or "operation" to record the functional calls between layers too.
        max_elements: read that many elements of an activation or gradient, in whole samples.
        spares_output: whether the network's own output is read whole all the same.
        resting: layers that are not read in this step, since it is the turn of others.
    """

    signals: frozenset[Signal] = frozenset(DEFAULT_SIGNALS)
    include: Patterns | None = None
    exclude: Patterns | None = None
    channel_axis: Mapping[str, int] = field(default_factory=dict)
    blocks: Patterns | None = None
    residual_branches: Patterns | None = None
    stem: Patterns | None = None
    mask: MaskFunction | None = None
    extended: bool = False
    phase: str | None = None
    granularity: str = "layer"
    max_elements: int | None = None
    spares_output: bool = False
    resting: frozenset[str] = frozenset()

    def layer(self, name: str) -> bool:
        """Say whether a layer is to be recorded in this step."""
        return name not in self.resting and self.is_chosen(name)

    def is_chosen(self, name: str) -> bool:
        """Say whether a layer is to be recorded, in this step or in another."""
        included, excluded = self._layer_matchers
        return (included is None or included(name)) and not (excluded and excluded(name))

    def axis_override(self, layer: str) -> int | None:
        """Give the channel axis that the user named for a layer."""
        return next((axis for matches, axis in self._axes if matches(layer)), None)

    @property
    def names_places(self) -> bool:
        """Whether the user names stem, blocks or branches."""
        return any((self.blocks, self.residual_branches, self.stem))

    @property
    def sampling(self) -> Sampling | None:
        """How much is read of an activation or gradient; None for all."""
        if self.max_elements is None:
            return None
        return Sampling(self.max_elements, self.spares_output)

    def check(self, model: nn.Module) -> None:
        """Refuse patterns that match no layer of the model, and models that cannot be hooked.

        Raises:
            ValueError: one of the patterns matches none.
            TypeError: the model is scripted.
        """
        if isinstance(model, torch.jit.ScriptModule):
            raise TypeError(
                f"{type(model).__name__} is a scripted or traced module, which runs no Python "
                "hooks: record the module that it was made from"
            )
        if self.mask is not None and not callable(self.mask):
            raise TypeError(
                f"mask must be a function of the forward's arguments, not "
                f"{type(self.mask).__name__}; give a tensor with recording.mask(tensor)"
            )
        names = [name for name, _ in model.named_modules()]
        for argument in ("include", "exclude", "blocks", "residual_branches", "stem"):
            require_match(argument, getattr(self, argument), names)
        require_match("channel_axis", tuple(self.channel_axis), names)

    @cached_property
    def _layer_matchers(self) -> tuple[Matcher | None, Matcher | None]:
        return matcher(self.include), matcher(self.exclude)

    @cached_property
    def _axes(self) -> list[tuple[Matcher, int]]:
        pairs = [(matcher(pattern), axis) for pattern, axis in self.channel_axis.items()]
        return [(matches, axis) for matches, axis in pairs if matches]


def make_signals(signals: Iterable[Signal | str]) -> frozenset[Signal]:
    """Check the names of signals.

    >>> sorted(make_signals(["gradient", "activation"]))
    [<Signal.ACTIVATION: 'activation'>, <Signal.GRADIENT: 'gradient'>]

    Raises:
        ValueError: one is unknown, or there is none.
    """
    given = [signals] if isinstance(signals, str) else list(signals)
    known = [str(signal) for signal in Signal]
    for signal in given:
        if str(signal) not in known:
            raise ValueError(f"signal {str(signal)!r} is unknown; choose of {known}")
    if not given:
        raise ValueError(f"signals is empty; choose of {known}")
    return frozenset(Signal(signal) for signal in given)
