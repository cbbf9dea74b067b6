"""Gradient clipping by value, by global norm and unit by unit, under one interface that counts.

    clip = AdaptiveGradientClipping(model, 0.01, exclude="head.classifier.weight")
    loss.backward()
    clip()
    optimizer.step()
    print(clip.rate)

Counters stay on the model's device until they are asked for.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvTransposeNd

from sppkit.patterns import Patterns
from sppkit.training.parameter_groups import choose_parameters


class Clipped(NamedTuple):
    """What was clipped of one parameter's gradient, or of all: units, out of so many."""

    name: str
    clipped: Tensor
    units: int


class GradientClipping(ABC):
    """Clip the gradients of a model in place, after the backward pass, and count what was clipped.

    What is counted as a unit depends on the method: single values, output units of a layer, or the
    whole gradient. Parameters without a gradient are left out of that step. Gradients that are not
    finite stay as they are, to be seen by what looks at them next.

    Args:
        model: whose gradients.
        limit: what the method bounds, above 0.
        exclude: names or patterns of parameters that are left alone, such as "*.bias"; a pattern
            matches the whole name and its `*` crosses dots.

    Raises:
        ValueError: a limit that is not above 0, or a pattern that matches no parameter.
    """

    def __init__(self, model: nn.Module, limit: float, *, exclude: Patterns | None = None) -> None:
        if not limit > 0.0:
            raise ValueError(f"the limit of gradient clipping is above 0, got {limit}")
        self.limit = limit
        excluded = choose_parameters(model, exclude, argument="exclude")
        self.parameters = {
            name: parameter for name, parameter in model.named_parameters() if name not in excluded
        }
        self.reset()

    def reset(self) -> None:
        """Forget the counts."""
        self._clipped: dict[str, Tensor] = {}
        self._units: dict[str, int] = {}
        self._steps: list[tuple[Tensor, int]] = []

    @torch.no_grad()
    def __call__(self) -> None:
        """Clip the gradients as they are now."""
        present = {n: p for n, p in self.parameters.items() if p.grad is not None}
        step = list(self._clip(present))
        for name, clipped, units in step:
            before = self._clipped.get(name)
            self._clipped[name] = clipped if before is None else before + clipped
            self._units[name] = self._units.get(name, 0) + units
        if step:
            device = step[0].clipped.device
            total = torch.stack([clipped.to(device) for _, clipped, _ in step]).sum()
            self._steps.append((total, sum(units for _, _, units in step)))

    @abstractmethod
    def _clip(self, parameters: dict[str, nn.Parameter]) -> Iterator[Clipped]:
        """Clip in place and count."""

    @property
    def rate(self) -> float:
        """Return the share of units that were clipped, over all steps; 0 before the first."""
        units = sum(self._units.values())
        return sum(int(c) for c in self._clipped.values()) / units if units else 0.0

    def rates(self) -> dict[str, float]:
        """Return the share of units that were clipped, over all steps, by parameter.

        Methods that look at the gradient as a whole have one entry, "".
        """
        return {name: int(c) / self._units[name] for name, c in self._clipped.items()}

    def counts(self) -> dict[str, int]:
        """Return how many units were clipped, over all steps, by parameter."""
        return {name: int(clipped) for name, clipped in self._clipped.items()}

    def step_rates(self) -> list[float]:
        """Return the share of units that were clipped in each step."""
        return [int(clipped) / units for clipped, units in self._steps]


class ValueClipping(GradientClipping):
    """Clip each value of the gradient to [-limit, limit]; a unit is a value."""

    def _clip(self, parameters: dict[str, nn.Parameter]) -> Iterator[Clipped]:
        for name, parameter in parameters.items():
            gradient = _gradient(parameter)
            clipped = ((gradient.abs() > self.limit) & gradient.isfinite()).sum()
            finite = torch.isfinite(gradient)
            gradient.copy_(torch.where(finite, gradient.clamp(-self.limit, self.limit), gradient))
            yield Clipped(name, clipped, gradient.numel())


class GlobalNormClipping(GradientClipping):
    """Scale the whole gradient where its L2 norm is above the limit; the whole is the one unit.

    References:
        On the difficulty of training recurrent neural networks, Pascanu, Mikolov, Bengio, 2013,
        arXiv 1211.5063, algorithm 1.
    """

    def _clip(self, parameters: dict[str, nn.Parameter]) -> Iterator[Clipped]:
        if not parameters:
            return
        norm = nn.utils.get_total_norm([_gradient(p) for p in parameters.values()])
        if norm.isfinite():
            nn.utils.clip_grads_with_norm_(parameters.values(), self.limit, norm)
        yield Clipped("", (norm > self.limit) & norm.isfinite(), 1)


class AdaptiveGradientClipping(GradientClipping):
    """Scale each unit's gradient where its norm is large beside that of the unit's weights.

        G_i <- limit * max(||W_i||, eps) / max(||G_i||, 1e-6) * G_i
        where  ||G_i|| > limit * max(||W_i||, eps)

    Unit i is an output unit: a row of a linear layer, a filter of a convolution (of one or more
    dimensions, transposed ones included). Scalars and vectors, also those with axes of size 1, are
    one unit. It comes before weight decay and momentum, on the raw gradient. In the authors' code
    the weights of the last linear layer are excluded, its bias is not.

    Args:
        model: whose gradients.
        limit: lambda; 0.01 in the paper for batches of 4096, more for smaller ones.
        exclude: names or patterns of parameters that are left alone.
        eps: floor under the norm of weights, so that weights of zero can move.

    Raises:
        ValueError: a limit or eps that is not above 0, or a pattern that matches no parameter.

    References:
        High-performance large-scale image recognition without normalization, Brock, De, Smith,
        Simonyan, 2021, arXiv 2102.06171, equation 3; authors' code
        deepmind-research/nfnets/agc_optax.py. Filters of three axes are units by their first axis,
        as in timm; the authors' code would take the norm over the second axis alone.
    """

    def __init__(
        self,
        model: nn.Module,
        limit: float = 0.01,
        *,
        exclude: Patterns | None = None,
        eps: float = 1e-3,
    ) -> None:
        super().__init__(model, limit, exclude=exclude)
        if not eps > 0.0:
            raise ValueError(f"eps of adaptive gradient clipping is above 0, got {eps}")
        self.eps = eps
        self._transposed = _transposed_groups(model)

    def _clip(self, parameters: dict[str, nn.Parameter]) -> Iterator[Clipped]:
        for name, parameter in parameters.items():
            gradient = _gradient(parameter)
            groups = self._transposed.get(name)
            weights = unit_wise_norm(parameter, transposed_groups=groups)
            norms = unit_wise_norm(gradient, transposed_groups=groups)
            largest = self.limit * weights.clamp(min=self.eps)
            clipped = (norms > largest) & norms.isfinite()
            scale = torch.where(clipped, largest / norms.clamp(min=1e-6), torch.ones_like(norms))
            _as_units(gradient, groups).mul_(scale)
            yield Clipped(name, clipped.sum(), clipped.numel())


def unit_wise_norm(x: Tensor, *, transposed_groups: int | None = None) -> Tensor:
    """Compute the L2 norm of each output unit of a weight or its gradient.

    Args:
        x: a weight, (out, in, ...), a vector or a scalar.
        transposed_groups: groups of a transposed convolution, whose weight is (in, out / groups,
            ...); None for all else.

    Returns:
        Norms with the axes kept, to be multiplied with the weight: (out, 1, ...); of vectors and
        scalars, also those with axes of size 1, one norm with all axes kept; of transposed
        convolutions (groups, 1, out / groups, 1, ...).

    References:
        High-performance large-scale image recognition without normalization, Brock et al., 2021,
        arXiv 2102.06171, section 4.
    """
    units = _as_units(x, transposed_groups)
    if transposed_groups is not None:
        axes = [axis for axis in range(units.dim()) if axis not in (0, 2)]
    elif sum(size > 1 for size in x.shape) <= 1:
        axes = list(range(x.dim()))
    else:
        axes = list(range(1, x.dim()))
    if not axes:
        return units.abs()
    norm: Tensor = torch.linalg.vector_norm(units, dim=axes, keepdim=True)
    return norm


def _as_units(x: Tensor, transposed_groups: int | None) -> Tensor:
    """View the weight of a transposed convolution as (groups, in / groups, out / groups, ...)."""
    if transposed_groups is None:
        return x
    return x.view(transposed_groups, x.shape[0] // transposed_groups, *x.shape[1:])


def _transposed_groups(model: nn.Module) -> dict[str, int]:
    return {
        f"{name}.weight".lstrip("."): module.groups
        for name, module in model.named_modules()
        if isinstance(module, _ConvTransposeNd)
    }


def _gradient(parameter: nn.Parameter) -> Tensor:
    assert parameter.grad is not None
    return parameter.grad
