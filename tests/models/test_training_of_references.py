"""Every small reference network is trained on handwritten digits, or shown to be dead."""

import math

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from sppkit.inputs.digits import draw_digits
from sppkit.models import REFERENCES, build

SMALL = [reference for reference in REFERENCES if reference.is_small]
ALIVE = [reference for reference in SMALL if not reference.dead_at_initialization]
DEAD = [reference for reference in SMALL if reference.dead_at_initialization]
BATCH = 32
RATE = 1e-2
RATES = {
    "sn_resnet20": 2e-3,
    **{reference.name: 3e-3 for reference in SMALL if reference.family == "ReActNet"},
}
"""Of networks that RATE is too much for."""


def digits_for(reference):
    """Draw all digits, in a network's input size; pictures of 32x32 are halved, to save time."""
    size = tuple(min(side, 16) for side in reference.input_size)
    size = size if len(size) == 3 else reference.input_size
    images, classes, _ = draw_digits(size, 1797, torch.Generator().manual_seed(0))
    return images.float(), classes


@torch.no_grad()
def loss_on(network, images, classes):
    """Compute the mean loss in train mode, where normalisations see the batch; nothing stays."""
    losses = [
        cross_entropy(network(x), y)
        for x, y in zip(images.split(BATCH), classes.split(BATCH), strict=True)
    ]
    return torch.stack(losses[:4]).mean().item()


@pytest.mark.parametrize("reference", ALIVE, ids=lambda reference: reference.name)
def test_one_epoch_of_digits_lowers_the_loss(reference):
    torch.manual_seed(0)
    network = build(reference.name)
    images, classes = digits_for(reference)
    before = loss_on(network, images, classes)
    optimizer = torch.optim.Adam(network.parameters(), lr=RATES.get(reference.name, RATE))
    steps = math.ceil(len(images) / BATCH)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / steps)
    for x, y in zip(images.split(BATCH), classes.split(BATCH), strict=True):
        optimizer.zero_grad()
        cross_entropy(network(x), y).backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    after = loss_on(network, images, classes)
    assert math.isfinite(before)
    assert after < before - 0.5, (before, after)


@pytest.mark.parametrize("reference", DEAD, ids=lambda reference: reference.name)
def test_what_is_called_dead_is_dead(reference):
    """D12: of the variance over pictures nothing reaches the classifier, or infinity does."""
    torch.manual_seed(0)
    network = build(reference.name)
    classifier = [module for module in network.modules() if isinstance(module, nn.Linear)][-1]
    features = []
    classifier.register_forward_hook(lambda module, inputs, output: features.append(inputs[0]))
    with torch.no_grad():
        network(torch.randn(16, *reference.input_size))
    variance = features[0].double().var(0).mean().item()
    assert not 1e-10 < variance < 1e10, variance
