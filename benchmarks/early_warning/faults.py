"""Networks in which something goes wrong at a known step of their training.

Each fault counts the forward passes in training mode, which are the steps of the loop, and does
nothing before its onset. At a dose of nothing the network is the healthy one.
"""

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


class Timed(nn.Module):
    """Counts steps.

    Args:
        onset: the step from which on something is different.
    """

    def __init__(self, onset: int) -> None:
        super().__init__()
        self.onset = onset
        self._passes = 0

    @property
    def steps_since_onset(self) -> int:
        """Steps since the onset, -1 before it; to be called after `count`."""
        return max(-1, self._passes - 1 - self.onset)

    def count(self) -> None:
        """Count a pass in training mode."""
        self._passes += self.training


class BadBatches(Timed):
    """y = network(c x), c = scale in `length` steps from the onset on, else 1."""

    def __init__(self, network: nn.Module, onset: int, scale: float, length: int = 1) -> None:
        super().__init__(onset)
        self.network = network
        self.scale, self.length = scale, length

    def forward(self, x: Tensor) -> Tensor:
        """Run the network."""
        self.count()
        is_bad = self.training and 0 <= self.steps_since_onset < self.length
        answer: Tensor = self.network(x * self.scale if is_bad else x)
        return answer


class NormalisationRemoved(Timed):
    """From the onset on batch normalisation divides by the statistics that it has run up to then.

    They no longer follow the weights: the layer is an affine map, and the network has none of the
    normalisation that its learning rate was made for.
    """

    def __init__(self, network: nn.Module, onset: int) -> None:
        super().__init__(onset)
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Run the network."""
        self.count()
        if self.training and self.steps_since_onset >= 0:
            for module in self.network.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        answer: Tensor = self.network(x)
        return answer


class ResidualBlock(nn.Module):
    """x + gain * W2 relu(W1 relu(x))."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x: Tensor, gain: float) -> Tensor:
        """Add the branch."""
        branch: Tensor = self.second(torch.relu(self.first(torch.relu(x))))
        return x + gain * branch


class GrowingGain(Timed):
    """A residual network of linear layers; its gain is multiplied by `growth` in every step.

    Args:
        growth: of the gain per step, from the onset on; 1 is healthy.
    """

    def __init__(self, onset: int, growth: float, width: int = 48, blocks: int = 6) -> None:
        super().__init__(onset)
        self.growth = growth
        self.stem = nn.Linear(64, width)
        self.blocks = nn.ModuleList([ResidualBlock(width) for _ in range(blocks)])
        self.head = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Run the network."""
        self.count()
        gain = 0.4 * self.growth ** max(0, self.steps_since_onset)
        x = self.stem(x.flatten(1))
        for block in self.blocks:
            x = block(x, gain)
        answer: Tensor = self.head(x)
        return answer


class GrowingStream(Timed):
    """Linear layers whose stream grows in front of a layer normalisation, so that no loss shows it.

    Args:
        growth: of the stream per step, from the onset on; 1 is healthy.
    """

    def __init__(self, onset: int, growth: float, width: int = 48, layers: int = 3) -> None:
        super().__init__(onset)
        self.growth = growth
        self.layers = nn.ModuleList(
            [nn.Linear(64 if i == 0 else width, width) for i in range(layers)]
        )
        self.activations = nn.ModuleList([nn.ReLU() for _ in range(layers)])
        self.scale = Scale()
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Run the network."""
        self.count()
        x = x.flatten(1)
        for layer, activation in zip(self.layers, self.activations, strict=True):
            x = activation(layer(x))
        x = self.scale(x, self.growth ** max(0, self.steps_since_onset))
        answer: Tensor = self.head(self.norm(x))
        return answer


class Scale(nn.Module):
    """c x."""

    def forward(self, x: Tensor, factor: float) -> Tensor:
        """Multiply, in the precision of x."""
        return x * factor
