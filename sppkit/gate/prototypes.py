"""A task made up for a network: to tell prototypes apart that are hidden in as much noise.

    x = m + s (a p_k + sqrt(1 - a²) n),    a = 0.7

with a prototype p_k for each class k and noise n, both of mean 0 and variance 1, and with mean m
and standard deviation s of the input that the network is probed with. Prototypes of pictures,
sequences and signals are smooth: neighbours resemble each other, and networks that pool see nothing
else. Of tokens, those of the prototype are kept with probability a².
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812  (torch's own convention)

from sppkit.capture.calls.places import tensors_in
from sppkit.inputs import ProbeBatch

SIGNAL = 0.7
"""a, the root of a prototype's share of the variance."""

SMOOTH = 4
"""Values along each axis of positions that a prototype is interpolated from."""

Draw = Callable[[torch.Tensor], torch.Tensor]


class Task:
    """Samples of prototypes in noise, new ones at every call.

    Args:
        batch: what the network is probed with; tensors like these are made. What is the same for
            all samples, and flags, stay as they are.
        classes: number of prototypes.
        generator: of all random numbers, on the CPU.

    Raises:
        ValueError: the batch holds nothing that could depend on the class.
    """

    def __init__(self, batch: ProbeBatch, classes: int, generator: torch.Generator) -> None:
        self._batch, self._classes, self._generator = batch, classes, generator
        tensors = [tensor for _, tensor in tensors_in((batch.args, batch.kwargs))]
        self._number = next((len(tensor) for tensor in tensors if tensor.dim()), 0)
        varied = (t for t in tensors if t.dim() and len(t) == self._number and _varies(t))
        self._draws = {id(tensor): self._draw_like(tensor.cpu()) for tensor in varied}
        if not self._draws:
            raise ValueError("nothing in its input varies from sample to sample")

    def draw(self, samples: int) -> ProbeBatch:
        """Draw samples with their classes, which are the labels."""
        labels = torch.randint(self._classes, (samples,), generator=self._generator)
        args, kwargs = (
            self._filled(part, labels) for part in (self._batch.args, self._batch.kwargs)
        )
        return ProbeBatch(args, kwargs, labels, "prototypes in noise")

    def _filled(self, value: Any, labels: torch.Tensor) -> Any:
        if isinstance(value, torch.Tensor):
            return self._tensor(value, labels)
        if isinstance(value, Mapping):
            return {key: self._filled(part, labels) for key, part in value.items()}
        if type(value) in (tuple, list):
            return type(value)(self._filled(part, labels) for part in value)
        return value

    def _tensor(self, tensor: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        if id(tensor) in self._draws:
            return self._draws[id(tensor)](labels)
        if tensor.dim() and len(tensor) == self._number:
            return tensor[torch.arange(len(labels)) % self._number]
        return tensor

    def _draw_like(self, tensor: torch.Tensor) -> Draw:
        return self._noisy(tensor) if tensor.is_floating_point() else self._tokens(tensor)

    def _noisy(self, tensor: torch.Tensor) -> Draw:
        values = tensor.float()
        mean, deviation = values.mean(), values.std(correction=0)
        shape = tensor.shape[1:]
        prototypes = self._prototypes(shape)

        def draw(labels: torch.Tensor) -> torch.Tensor:
            noise = torch.randn(len(labels), *shape, generator=self._generator)
            unit = SIGNAL * prototypes[labels] + (1 - SIGNAL**2) ** 0.5 * noise
            samples: torch.Tensor = mean + deviation * unit
            return samples.to(tensor.dtype)

        return draw

    def _prototypes(self, shape: torch.Size) -> torch.Tensor:
        """Draw smooth fields; of pictures and films the first axis is that of channels."""
        axes = shape[1:] if len(shape) in (3, 4) else shape if len(shape) == 2 else shape[:0]
        leading = shape[: len(shape) - len(axes)]
        coarse = [min(length, SMOOTH) for length in axes]
        drawn = torch.randn(self._classes, *leading, *coarse, generator=self._generator)
        if axes:
            mode = "bilinear" if len(axes) == 2 else "trilinear"
            flat = drawn.flatten(0, len(leading)).unsqueeze(1)
            drawn = F.interpolate(flat, size=tuple(axes), mode=mode).view(self._classes, *shape)
        centred = drawn - drawn.mean()
        return centred / centred.std(correction=0).clamp_min(1e-12)

    def _tokens(self, tensor: torch.Tensor) -> Draw:
        values, shape = tensor.flatten(), tensor.shape[1:]

        def drawn(rows: int) -> torch.Tensor:
            places = torch.randint(len(values), (rows, *shape), generator=self._generator)
            return values[places]

        prototypes = drawn(self._classes)

        def draw(labels: torch.Tensor) -> torch.Tensor:
            kept = torch.rand(len(labels), *shape, generator=self._generator) < SIGNAL**2
            return torch.where(kept, prototypes[labels], drawn(len(labels)))

        return draw


def _varies(tensor: torch.Tensor) -> bool:
    """Say whether a tensor holds values that differ between samples; flags are left alone."""
    if tensor.dtype == torch.bool or tensor.is_complex() or tensor.layout != torch.strided:
        return False
    return bool(tensor.numel()) and not bool((tensor == tensor[:1]).all())
