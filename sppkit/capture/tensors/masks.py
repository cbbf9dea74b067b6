"""Padding: a mask says which positions of a batch are real, and only those are read."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from sppkit.capture.tensors.readable import Readable, join_flags

UNMASKED = "unmasked"

MaskFunction = Callable[..., Tensor | None]


class Mask:
    """The positions of one pass that are read.

    It fits a tensor whose leading axes have its shape and whose channels lie behind them: a mask
    of shape (N, T) fits activations and gradients of shape (N, T, C), as (N,) fits (N, C, H, W).

    Args:
        keep: True, or a number other than 0, where a position is real; of any shape.

    Raises:
        TypeError: it is no tensor.
    """

    def __init__(self, keep: Tensor) -> None:
        if not isinstance(keep, Tensor):
            raise TypeError(
                f"a mask must be a tensor that is True at the positions to read, as tokens != 0 "
                f"is, not {type(keep).__name__}"
            )
        self.shape = keep.shape
        self._keep = keep.detach()
        self._ends: list[int] | None = None
        # Once per pass: to find them in every hook would make the host wait for the device there.
        positions = keep.detach().flatten().nonzero().squeeze(1)
        self._positions = {keep.device: positions}

    def select(self, found: Readable, batch: int | None = None) -> Readable:
        """Take the real positions out of what is read; where the mask does not fit, say so.

        Args:
            found: what is read.
            batch: the samples there were, where only the first of them are left.
        """
        values, axis, among = found.values, found.axis, len(self.shape)
        shape = values.shape[:among] if batch is None else (batch, *values.shape[1:among])
        if axis is None or axis < among or shape != self.shape:
            return found._replace(flags=join_flags(found.flags, UNMASKED))
        positions = self._on(values.device)
        if batch is not None:
            positions = positions[: self._end_of(len(values))]
        kept = values.detach().flatten(0, among - 1).index_select(0, positions)
        return found._replace(values=kept, axis=axis - among + 1)

    def _end_of(self, samples: int) -> int:
        """Count the positions in the first samples; the host waits for them once per pass."""
        if self._ends is None:
            by_sample = self._keep.ne(0).reshape(self.shape[0], -1).sum(1)
            self._ends = by_sample.cumsum(0).tolist()
        return self._ends[samples - 1]

    def _on(self, device: torch.device) -> Tensor:
        if device not in self._positions:
            self._positions[device] = next(iter(self._positions.values())).to(device)
        return self._positions[device]


class Masks:
    """Where the masks of the passes come from.

    Args:
        function: gives the mask for the arguments of a forward pass, or None for a pass without.
    """

    def __init__(self, function: MaskFunction | None) -> None:
        self._function = function
        self._next: Mask | None = None
        self.are_used = function is not None

    def give(self, mask: Mask) -> None:
        """Set the mask of the next pass."""
        self._next = mask
        self.are_used = True

    def take(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Mask | None:
        """Give the mask of a pass that begins; what was set by hand comes first.

        Raises:
            ValueError: the function failed.
            TypeError: it returned no tensor.
        """
        given, self._next = self._next, None
        if given is not None or self._function is None:
            return given
        try:
            with torch.no_grad():
                keep = self._function(*args, **kwargs)
        except Exception as error:
            cause = f"{type(error).__name__}: {error}"
            raise ValueError(
                f"the mask function failed, so padding was read too: {cause}"
            ) from error
        return None if keep is None else Mask(keep)
