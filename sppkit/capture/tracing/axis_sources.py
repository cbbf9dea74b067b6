"""Which axis of its operand each axis of a result is, where an operation moves axes about."""

from collections.abc import Callable, Sequence
from types import EllipsisType
from typing import Any

import torch

from sppkit.capture.calls.functional import canonical_name
from sppkit.capture.calls.places import every_tensor
from sppkit.capture.tensors.channel_axis import PERMUTATIONS, REDUCTIONS, Shape


def axis_sources(
    function: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any], shape: Shape
) -> list[int] | None:
    """Say which axis of the operand each axis of the result is; -1 for one that is new.

    The operation itself is asked, on a tensor whose sizes name its axes. None where it makes new
    values of them (a reshape, a product).
    """
    name = canonical_name(function)
    if name == "getitem":
        return _indexed_axes(args[1], len(shape))
    others = {key: value for key, value in kwargs.items() if key not in ("input", "self")}
    if name not in PERMUTATIONS | REDUCTIONS or any(every_tensor((args[1:], others))):
        return None
    named = torch.empty(tuple(range(2, 2 + len(shape))), device="meta")
    result = next(every_tensor(function(named, *args[1:], **others)))
    return [size - 2 if size > 1 else -1 for size in result.shape]


def _indexed_axes(index: object, dimensions: int) -> list[int] | None:
    """Follow the axes through an index of integers, slices, None and an ellipsis."""
    items = list(index) if isinstance(index, tuple) else [index]
    plain = int | slice | EllipsisType | None
    if not all(isinstance(item, plain) and not isinstance(item, bool) for item in items):
        return None
    taken = sum(isinstance(item, int | slice) for item in items)
    if not any(item is Ellipsis for item in items):
        items.append(Ellipsis)
    sources, axis = list[int](), 0
    for item in items:
        if item is None:
            sources.append(-1)
        elif item is Ellipsis:
            sources += range(axis, axis + dimensions - taken)
            axis += dimensions - taken
        else:
            sources += [axis] * isinstance(item, slice)
            axis += 1
    return sources
