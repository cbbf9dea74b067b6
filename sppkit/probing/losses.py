"""Where the backward pass of a probe starts: a unit cotangent, or a loss."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  (torch's own convention)

from sppkit.capture.calls.places import tensors_in
from sppkit.errors import ProbeError

Loss = Callable[[Any, torch.Tensor | None], torch.Tensor]

LOSSES = ("unit-gradient", "cross-entropy")

_STREAMS = ("input", "cotangent", "labels", "head", "calibration", "rehearsal")


def random_stream(seed: int, purpose: str) -> torch.Generator:
    """Give each purpose of a seed random numbers of its own.

    From one stream, the noise of the input would be the numbers that the first weights are made of.
    The weights themselves are drawn from torch's global generator, seeded with the seed as it is.
    """
    # Hashed to 32 bits, since that is all of a seed that torch's generator on the CPU looks at.
    state = np.random.SeedSequence([_STREAMS.index(purpose), seed]).generate_state(1)
    return torch.Generator().manual_seed(int(state[0]))


def loss_name(loss: str | Loss) -> str:
    """Name a loss in a message or a footer."""
    return loss if isinstance(loss, str) else getattr(loss, "__name__", "custom")


def run_backward(loss: str | Loss, output: Any, labels: torch.Tensor | None, seed: int) -> None:
    """Run the backward pass from the outputs that have one; from none, nothing happens."""
    tensors = [tensor for _, tensor in tensors_in(output)]
    outputs = [tensor for tensor in tensors if tensor.requires_grad]
    labels = None if labels is None else labels.to(tensors[0].device)
    if callable(loss):
        value = loss(output, labels)
        if outputs:  # else the recorder says that no gradient was seen
            value.backward()
    elif outputs and loss == "unit-gradient":
        torch.autograd.backward(outputs, [_cotangent(tensor, seed) for tensor in outputs])
    elif outputs:
        _cross_entropy(outputs[0], labels, seed).backward()


def _cotangent(output: torch.Tensor, seed: int) -> torch.Tensor:
    """Draw the fixed cotangent of unit variance that takes the place of a loss's gradient."""
    kind = torch.float64 if output.dtype == torch.float64 else torch.float32
    drawn = torch.randn(output.shape, generator=random_stream(seed, "cotangent"), dtype=kind)
    return drawn.to(output.device, output.dtype)


def _cross_entropy(logits: torch.Tensor, labels: torch.Tensor | None, seed: int) -> torch.Tensor:
    """Apply the mean cross-entropy, with random labels where there are none that fit.

    Args:
        logits: (N, classes), (N, tokens, classes), or (N, classes, positions ...).
        labels: (N,), or None.
        seed: of the random labels.
    """
    if logits.dim() < 2:
        raise ProbeError(
            f"loss='cross-entropy' needs logits (N, classes), and the output has the shape "
            f"{tuple(logits.shape)}. Use loss='unit-gradient' or a function of your own."
        )
    if logits.dim() == 3:
        logits = logits.flatten(0, 1)
    classes, shape = logits.shape[1], (logits.shape[0], *logits.shape[2:])
    if labels is None or labels.shape != shape or int(labels.max()) >= classes:
        drawn = torch.randint(classes, shape, generator=random_stream(seed, "labels"))
        labels = drawn.to(logits.device)
    return F.cross_entropy(logits.float(), labels)
