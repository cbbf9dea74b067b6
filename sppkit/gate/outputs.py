"""The outputs of a network: which of them are trained, and what they say of the inputs."""

import math
from collections.abc import Iterable, Iterator
from typing import Any

import torch

from sppkit.capture.calls.places import tensors_in

Named = tuple[str, torch.Tensor]


def trained_outputs(output: Any) -> list[Named]:
    """Choose the outputs that a loss would be put on, with their paths.

    Those that others are computed from (hidden states beside logits) are left out: a loss on them
    would bring gradients to layers that training leaves without. Numbers without an axis are losses
    that the model has computed itself; where there are any, they are all that is trained.
    """
    found = [(p, tensor) for p, tensor in tensors_in(output) if tensor.requires_grad]
    found = [(path, tensor) for path, tensor in found if tensor.numel()] or found
    losses = [named for named in found if _is_a_loss(*named)]
    others = [named for named in found if named[1].dim()]
    return losses or list(_ends(others)) or found


def _is_a_loss(path: str, tensor: torch.Tensor) -> bool:
    return tensor.dim() == 0 and (not path or "loss" in path.rpartition(".")[2].lower())


def _ends(found: list[Named]) -> Iterator[Named]:
    """Give the outputs that no other output is computed from, each of them once."""
    behind = _computed_before([tensor for _, tensor in found]) if len(found) > 1 else set()
    seen = set()
    for path, tensor in found:
        identity = (tensor.grad_fn, tensor.output_nr)
        is_end = tensor.grad_fn is None or tensor.grad_fn not in behind
        if is_end and (tensor.grad_fn is None or identity not in seen):
            seen.add(identity)
            yield path, tensor


def _computed_before(tensors: Iterable[torch.Tensor]) -> set[Any]:
    """Collect the steps of the backward pass behind tensors, their own left out."""
    waiting = [tensor.grad_fn for tensor in tensors if tensor.grad_fn is not None]
    passed: set[Any] = set()
    while waiting:
        for step, _ in waiting.pop().next_functions:
            if step is not None and step not in passed:
                passed.add(step)
                waiting.append(step)
    return passed


def describe_output(output: torch.Tensor) -> dict[str, float]:
    """Measure how large an output is, and how much it depends on the sample.

        second_moment = mean(y²),    variance_across_samples = mean over units of var over samples

    Args:
        output: samples first. The variance is biased; NaN where there are fewer than two samples.
    """
    values = as_real(output.detach()).double()
    several = values.dim() > 0 and values.shape[0] > 1 and values.numel() > 0
    return {
        "second_moment": float(values.square().mean()) if values.numel() else math.nan,
        "variance_across_samples": (
            float(values.var(0, correction=0).mean()) if several else math.nan
        ),
    }


def as_real(tensor: torch.Tensor) -> torch.Tensor:
    """Bring complex, sparse and nested tensors into a dense real form."""
    if tensor.is_nested:
        tensor = tensor.values() if tensor.layout == torch.jagged else tensor.to_padded_tensor(0.0)
    if tensor.layout != torch.strided:
        tensor = tensor.to_dense()
    return torch.view_as_real(tensor) if tensor.is_complex() else tensor
