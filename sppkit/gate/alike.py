"""Where a network begins to answer the same to every sample."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from sppkit.capture.calls.places import tensors_in
from sppkit.gate.outputs import as_real
from sppkit.inputs import ProbeBatch
from sppkit.probing.execution import run_forward

ALIKE = 1e-10
"""Share of the second moment that differs between samples, below which they are taken for alike."""


def are_alike(second_moment: float, variance_across_samples: float) -> bool:
    """Say whether samples are alike; so they are where all is zero."""
    return variance_across_samples <= ALIKE * second_moment


def alike_from(model: nn.Module, batch: ProbeBatch) -> str:
    """Name the first layer behind which the outputs of all layers are alike for every sample.

    The output of a dead branch is alike, too, yet others that follow are not. Runs a forward pass.

    Args:
        model: whose output is alike.
        batch: what to run it on.

    Returns:
        The qualified name of a module without modules of its own; "" where there is none.
    """
    sizes = [len(t) for _, t in tensors_in((batch.args, batch.kwargs)) if t.dim()]
    seen: list[tuple[str, bool]] = []
    with _watched(model, sizes[0] if sizes else 1, seen), torch.no_grad():
        run_forward(model, batch, None)
    different = [place for place, (_, alike) in enumerate(seen) if not alike]
    behind = seen[different[-1] + 1 :] if different else seen
    return behind[0][0] if behind else ""


@contextmanager
def _watched(model: nn.Module, samples: int, seen: list[tuple[str, bool]]) -> Iterator[None]:
    def hook_of(name: str) -> Any:
        def hook(_: nn.Module, __: Any, output: Any) -> None:
            tensors = [t for _, t in tensors_in(output) if t.dim() and len(t) == samples]
            if tensors:
                seen.append((name, all(map(_is_alike, tensors))))

        return hook

    leaves = {n: module for n, module in model.named_modules() if not any(module.children())}
    handles = [module.register_forward_hook(hook_of(name)) for name, module in leaves.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _is_alike(tensor: torch.Tensor) -> bool:
    values = as_real(tensor.detach()).double()
    across = float(values.var(0, correction=0).mean())
    return are_alike(float(values.square().mean()), across)
