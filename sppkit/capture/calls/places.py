"""The names of what can be captured: a place in the network, and a point = a place and a signal."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import torch

from sppkit.signals import Signal


class Place(NamedTuple):
    """One tensor of a forward pass.

    Attributes:
        layer: qualified name of the module, "" for the root.
        call: n-th call of that module within the pass, from 0.
        operation: "" for the module's output, else the functional call inside it, as "add#1".
        tensor: "" for a bare tensor, else its path in a tuple, list, dict or dataclass; for
            parameters their name.
    """

    layer: str
    call: int = 0
    operation: str = ""
    tensor: str = ""


class Point(NamedTuple):
    """A signal at a place: what one slot of a plan holds and one row of the table shows."""

    place: Place
    signal: Signal


def shape_of(tensor: torch.Tensor) -> tuple[int, ...]:
    """Give the shape of a tensor; behind the batch of a nested one there are no sizes but 0."""
    if not tensor.is_nested:
        return tuple(tensor.shape)
    return (tensor.size(0), *(0,) * (tensor.dim() - 1))


def tensors_in(value: object, path: str = "") -> Iterator[tuple[str, torch.Tensor]]:
    """Walk the tensors of an output, read-only, with their paths.

    Tuples, lists, named tuples (packed sequences too), mappings and dataclasses (the outputs of
    Hugging Face's models) are entered; nothing is rebuilt.

    >>> [path for path, _ in tensors_in({"hidden": (torch.zeros(1), torch.zeros(1))})]
    ['hidden.0', 'hidden.1']
    """
    if isinstance(value, torch.Tensor):
        yield path, value
        return
    for key, part in _parts(value):
        yield from tensors_in(part, f"{path}.{key}" if path else key)


def every_tensor(value: object) -> Iterator[torch.Tensor]:
    """Walk the tensors of a value, or of the arguments of a call, without their paths."""
    return (tensor for _, tensor in tensors_in(value))


def _parts(value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, Mapping):
        yield from ((str(key), part) for key, part in value.items())
    elif isinstance(value, tuple | list):
        names = getattr(value, "_fields", None) or range(len(value))
        yield from ((str(name), part) for name, part in zip(names, value, strict=True))
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            yield field.name, getattr(value, field.name)
