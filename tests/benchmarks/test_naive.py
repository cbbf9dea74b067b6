"""The naive collector is an independent oracle of what sppkit records."""

import math

import pytest
import torch
from torch import nn

import sppkit
from benchmarks.naive import STATISTICS, NaiveCollector
from benchmarks.networks.transformer import vit
from benchmarks.networks.unet import unet

TOLERANCE = 1e-5
"""The collector sums in float32 without a shift; the values here are of magnitude 1."""


def models():
    return {
        "perceptron": (nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 4)), (5, 6)),
        "vit": (vit(width=32, depth=1, tokens=4), (3, 3, 8, 8)),
        "unet": (unet(width=8, levels=1, in_place=False), (2, 3, 8, 8)),
    }


def loss_of(output):
    return (output * torch.linspace(-1, 1, output.numel()).view(output.shape)).sum()


@pytest.mark.parametrize("name", ["perceptron", "vit", "unet"])
def test_naive_collector_and_sppkit_agree_on_every_statistic(name):
    model, shape = models()[name]
    x = torch.randn(shape, requires_grad=True)  # else torch warns of full backward hooks
    collector = NaiveCollector(model)
    with collector.attached():
        loss_of(model(x)).backward()
    collector.end_step()
    model.zero_grad()
    with sppkit.record(model) as recording:
        loss_of(model(x)).backward()
    table = recording.table()
    rows = table[table["role"].isin(["leaf", "parameter"])]
    compared = 0
    for row in rows.to_dict("records"):
        layer = row["layer"]
        owner = f"{layer}.{row['tensor']}".lstrip(".") if row["role"] == "parameter" else layer
        naive = collector.table[row["signal"], owner]
        for statistic in STATISTICS:
            scale = math.sqrt(row["second_moment"])
            scale = scale if statistic in ("mean", "minimum", "maximum") else scale**2
            scale = 1.0 if statistic.endswith("fraction") else scale
            assert naive[statistic] == pytest.approx(row[statistic], abs=TOLERANCE * scale), (
                f"{statistic} of the {row['signal']} of {owner}"
            )
            compared += 1
    signals = {"activation", "gradient", "weight", "weight gradient"}
    assert set(rows["signal"]) == signals
    assert compared == len(STATISTICS) * len(collector.table)


def test_hooks_come_off_again():
    model = nn.Sequential(nn.Linear(3, 3), nn.Tanh())
    with NaiveCollector(model).attached():
        assert model[0]._forward_hooks
        assert model[0]._backward_hooks
    assert not any(m._forward_hooks or m._backward_hooks for m in model.modules())
