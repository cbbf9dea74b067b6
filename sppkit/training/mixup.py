"""Training on blends of two samples.

Paper: mixup: Beyond empirical risk minimization, Zhang, Cisse, Dauphin, Lopez-Paz, 2017, arXiv
1710.09412. RescaleNet and EUNNet train with it (strength 0.5 or 0.7) in the place of dropout.
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional


def mixup(
    x: Tensor,
    labels: Tensor,
    classes: int,
    *,
    strength: float = 0.7,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Blend each sample with another one of the batch, and their labels likewise.

        x' = s x + (1 - s) x[p],   y' = s y + (1 - s) y[p],   s ~ Beta(strength, strength)

    with one s per batch and a random permutation p. The targets suit
    `torch.nn.functional.cross_entropy`.

    Args:
        x: samples, (N, ...).
        labels: classes, (N,), integers.
        classes: number of classes C.
        strength: 0 or more; 0 leaves the batch as it is.
        generator: of random numbers, on the CPU; None is torch's global one.

    Returns:
        The blended samples, of the shape of x, and targets, (N, C), that sum to 1.

    Raises:
        ValueError: a negative strength, or as many labels as samples are not there.

    References:
        Zhang et al., 2017, arXiv 1710.09412, equation 1 and section 2.
    """
    if strength < 0.0:
        raise ValueError(f"the strength of mixup is 0 or more; got {strength}")
    if labels.shape != x.shape[:1]:
        raise ValueError(
            f"expected one label per sample, ({x.shape[0]},); got {tuple(labels.shape)}"
        )
    targets = functional.one_hot(labels, classes).to(x.dtype)
    if strength == 0.0:
        return x, targets
    share = _draw_from_beta(strength, generator)
    other = torch.randperm(len(x), generator=generator).to(x.device)
    return torch.lerp(x[other], x, share), torch.lerp(targets[other], targets, share)


def _draw_from_beta(strength: float, generator: torch.Generator | None) -> float:
    """Draw from Beta(strength, strength) by numpy, seeded by torch, which has no such generator."""
    seed = int(torch.randint(2**62, (), generator=generator))
    return float(np.random.default_rng(seed).beta(strength, strength))
