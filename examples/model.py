"""A small residual network without normalisation, to try `sppkit plot examples/model.py` on."""

import torch
from torch import nn

INPUT_SIZE = (1, 32, 32)


class Block(nn.Module):
    """x + branch(x), with a branch of two convolutions."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Add the branch to its input."""
        return x + self.branch(x)


class Net(nn.Module):
    """A stem, two stages of four blocks, a classifier; initialised as He et al. advise."""

    def __init__(self, width: int = 32, classes: int = 10) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, width, 3, padding=1)
        self.stage1 = nn.Sequential(*[Block(width) for _ in range(4)])
        self.down = nn.Conv2d(width, 2 * width, 2, stride=2)
        self.stage2 = nn.Sequential(*[Block(2 * width) for _ in range(4)])
        self.classifier = nn.Linear(2 * width, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Classify images of shape (N, 1, 32, 32)."""
        x = self.stage2(self.down(self.stage1(self.stem(x))))
        return self.classifier(x.mean((2, 3)))
