"""Deep networks that do not train: a check of these draws on everything it has."""

import torch
from torch import nn

CLASSES = 10


class DeepTransformer(nn.Module):
    """24 post-norm layers with weights three times too large."""

    def __init__(self, width: int = 64, depth: int = 24) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(width, 4, 2 * width, dropout=0.0, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)
        self.head = nn.Linear(width, CLASSES)
        for parameter in self.encoder.parameters():
            if parameter.dim() > 1:
                nn.init.normal_(parameter, std=3 / width**0.5)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Classify sequences by the mean of their tokens."""
        logits: torch.Tensor = self.head(self.encoder(tokens).mean(1))
        return logits


def deep_transformer() -> nn.Module:
    """Build the transformer."""
    return DeepTransformer()


def plain_convolutions(width: int = 64, depth: int = 40) -> nn.Module:
    """Build a plain convolutional network, 40 layers deep, with torch's own initialisation."""
    layers: list[nn.Module] = [nn.Conv2d(3, width, 3, stride=2, padding=1)]
    for _ in range(depth):
        layers += [nn.ReLU(), nn.Conv2d(width, width, 3, padding=1)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, CLASSES))
