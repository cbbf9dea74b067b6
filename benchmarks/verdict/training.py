"""Train one network on scikit-learn's digits, until it has succeeded or is hopeless."""

import time
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812  (torch's own convention)
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn

from benchmarks.verdict.network import Network

SUCCESS = 0.90
"""Held-out accuracy at which a network has trained; a linear probe of the pixels reaches 0.967."""


@dataclass(frozen=True)
class Setting:
    """One training: which optimiser, how fast, for how long.

    Args:
        optimizer: "SGD" (momentum 0.9) or "Adam".
        rate: learning rate, constant.
        seed: of the weights and of the order of the samples.
        epochs, batch: at most this many passes through 1347 pictures, in batches of this size.
        hopeless: (epochs, accuracy): a network below this accuracy after so many is given up.
    """

    optimizer: str
    rate: float
    seed: int
    epochs: int = 15
    batch: int = 64
    hopeless: tuple[tuple[int, float], ...] = ((5, 0.2), (8, 0.4), (11, 0.6))

    def as_dict(self) -> dict[str, Any]:
        """List the settings and the criterion."""
        return asdict(self) | {"success": SUCCESS}


# What helps most networks comes first: a healthy one costs one training.
# Each training has weights of its own: a network may be lucky six times.
GRID = tuple(
    Setting(optimizer, rate, seed)
    for seed, (optimizer, rate) in enumerate(
        [
            *(("Adam", 3e-3), ("SGD", 0.1), ("Adam", 5e-4)),
            *(("SGD", 0.01), ("Adam", 1e-2), ("SGD", 0.001)),
        ]
    )
)

PATIENT = Setting("Adam", 3e-3, seed=6, epochs=45, hopeless=((20, 0.2),))
"""One training of three times the length: is a network that failed merely slow?"""


@dataclass(frozen=True)
class Outcome:
    """How a training ended.

    Args:
        ended: "trained", "non-finite", "hopeless" or "too slow".
        accuracy: the best on held-out pictures.
        accuracies: after each epoch, in thousandths.
        first_loss, last_loss: mean over the first and the last epoch.
        epochs: passes made.
        seconds: of processor time.
    """

    ended: str
    accuracy: float
    accuracies: str
    first_loss: float
    last_loss: float
    epochs: int
    seconds: float


@cache
def digits() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Load training pictures and classes, held-out pictures and classes.

    Pictures are (N, 1, 8, 8); the pixels of the whole set have mean 0 and variance 1.
    """
    data = load_digits()
    pictures = torch.from_numpy(data.images).float().unsqueeze(1)
    pictures = (pictures - pictures.mean()) / pictures.std(correction=0)
    classes = torch.from_numpy(data.target).long()
    train, test = train_test_split(
        range(len(classes)), test_size=450, random_state=0, stratify=data.target
    )
    return pictures[train], classes[train], pictures[test], classes[test]


def train(network: Network, setting: Setting) -> Outcome:
    """Train a network as a setting says."""
    start = time.process_time()
    model = network.build_with(setting.seed)
    optimizer = _optimizer(model, setting)
    if optimizer is None:
        return Outcome("hopeless", _accuracy(model), "", float("nan"), float("nan"), 0, 0.0)
    losses: list[float] = []
    accuracies: list[float] = []
    ended = ""
    while not ended:
        losses.append(_epoch(model, optimizer, setting.batch))
        accuracies.append(_accuracy(model))
        ended = _ended(losses, max(accuracies), setting)
    curve = " ".join(f"{1000 * accuracy:.0f}" for accuracy in accuracies)
    seconds = round(time.process_time() - start, 2)
    best = round(max(accuracies), 4)
    return Outcome(ended, best, curve, losses[0], losses[-1], len(losses), seconds)


def _optimizer(model: nn.Module, setting: Setting) -> torch.optim.Optimizer | None:
    """Make the optimiser; a network without a trainable parameter has none."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    if not parameters:
        return None
    if setting.optimizer == "Adam":
        return torch.optim.Adam(parameters, setting.rate, fused=True)
    return torch.optim.SGD(parameters, setting.rate, momentum=0.9, fused=True)


def _epoch(model: nn.Module, optimizer: torch.optim.Optimizer, batch: int) -> float:
    """Train for one pass; the mean loss, or what is not finite at once."""
    pictures, classes, _, _ = digits()
    model.train()
    total, parts = 0.0, torch.randperm(len(classes)).split(batch)
    for chosen in parts:
        loss = F.cross_entropy(model(pictures[chosen]), classes[chosen])
        total += loss.item()
        if not loss.isfinite():
            break
        optimizer.zero_grad()
        if loss.requires_grad:
            loss.backward()
        optimizer.step()
    return total / len(parts)


def _accuracy(model: nn.Module) -> float:
    _, _, pictures, classes = digits()
    model.eval()
    with torch.no_grad():
        return float((model(pictures).argmax(1) == classes).double().mean())


def _ended(losses: list[float], best: float, setting: Setting) -> str:
    if best >= SUCCESS:
        return "trained"
    if not abs(losses[-1]) < float("inf"):
        return "non-finite"
    if any(len(losses) >= epochs and best < least for epochs, least in setting.hopeless):
        return "hopeless"
    return "too slow" if len(losses) >= setting.epochs else ""
