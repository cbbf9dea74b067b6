"""Train one cell of the grid and say what came of it."""

from dataclasses import asdict, dataclass

import pandas as pd
import torch
from torch import nn
from torch.nn.functional import cross_entropy

import sppkit
from benchmarks.arms.arm import Arm, Data, make_network

TRAINING_SAMPLES = 1500
BATCH = 50
LEARNING_RATE = 0.05


@dataclass(frozen=True)
class Cell:
    """One row of the table: where, and what came of it.

    Attributes:
        arm, network, data, seed: where.
        loss: mean over the last epoch's training batches; NaN where it is not finite any more.
        accuracy: on the pictures that were not trained on.
        clip_rate: share of units that were clipped, over all steps; 0 without clipping.
    """

    arm: str
    network: str
    data: str
    seed: int
    loss: float
    accuracy: float
    clip_rate: float


def train(
    arm: Arm, network: str, data_name: str, data: Data, *, seed: int, epochs: int
) -> tuple[Cell, pd.DataFrame]:
    """Train by SGD with momentum, and record the first step of every epoch.

    Returns:
        The row, and the signal propagation: one row per convolution and recorded step.
    """
    torch.manual_seed(seed)
    model = make_network(arm, network)
    optimizer = torch.optim.SGD(model.parameters(), lr=LEARNING_RATE, momentum=0.9)
    clip = arm.clip(model)
    images, classes = data
    steps = TRAINING_SAMPLES // BATCH
    losses: list[float] = []
    with sppkit.record(
        model, optimizer=optimizer, every=steps, signals=["activation", "gradient"], run=arm.name
    ) as recording:
        for _ in range(epochs):
            for chosen in torch.randperm(TRAINING_SAMPLES).split(BATCH):
                optimizer.zero_grad()
                loss = cross_entropy(model(images[chosen]), classes[chosen])
                loss.backward()
                if clip is not None:
                    clip()
                optimizer.step()
                losses.append(loss.item())
    cell = Cell(
        arm.name,
        network,
        data_name,
        seed,
        float(torch.tensor(losses[-steps:]).mean()),
        _accuracy(model, images[TRAINING_SAMPLES:], classes[TRAINING_SAMPLES:]),
        0.0 if clip is None else clip.rate,
    )
    return cell, _propagation(recording.table(), cell)


@torch.no_grad()
def _accuracy(model: nn.Module, images: torch.Tensor, classes: torch.Tensor) -> float:
    model.eval()
    return float((model(images).argmax(1) == classes).double().mean())


def _propagation(table: pd.DataFrame, cell: Cell) -> pd.DataFrame:
    statistics = ["average_channel_variance", "average_channel_squared_mean"]
    rows = table[table["layer"].str.endswith(".conv")]
    kept = rows[["step", "layer", "signal", *statistics]].reset_index(drop=True)
    where = {key: asdict(cell)[key] for key in ("arm", "network", "data", "seed")}
    return kept.assign(**where)[[*where, *kept.columns]]
