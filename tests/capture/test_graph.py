"""The graph of a pass: what a tensor is multiplied with, and which tensors came from which."""

import math

import pytest
import torch
from torch import nn

from sppkit.capture.graph import Factor, Tracer
from sppkit.capture.watch import Watch


class Expression(nn.Module):
    """One line of arithmetic on the input, with constants, gains and weights at hand."""

    def __init__(self, function):
        super().__init__()
        self.function = function
        self.gain = nn.Parameter(torch.tensor(3.0))
        self.per_channel = nn.Parameter(torch.ones(8))
        self.weight = nn.Parameter(torch.ones(3, 8))
        self.register_buffer("four", torch.tensor(4.0))
        self.register_buffer("table", torch.ones(8))

    def forward(self, x):
        return self.function(self, x)


def graph_of(model, *inputs):
    """Trace one pass."""
    missing = []
    tracer = Tracer(model)
    watch = Watch(model, [tracer], operations=True, on_missing=lambda *told: missing.append(told))
    watch.attach()
    model(*inputs)
    watch.detach()
    assert not missing
    return tracer.graph


def last_node(function):
    return graph_of(Expression(function), torch.rand(3, 8)).nodes[-1]


FACTORS = {
    "a number": (lambda m, x: 2 * x, Factor("constant", 2.0)),
    "a number behind": (lambda m, x: torch.multiply(x, 2), Factor("constant", 2.0)),
    "a number in place": (lambda m, x: x.mul_(0.5), Factor("constant", 0.5)),
    "a quotient": (lambda m, x: x / 4, Factor("constant", 0.25)),
    "a true quotient": (lambda m, x: torch.true_divide(x, 4.0), Factor("constant", 0.25)),
    "a quotient with zero": (lambda m, x: x / 0.0, Factor("constant", math.inf)),
    "a buffer": (lambda m, x: m.four * x, Factor("constant", 4.0)),
    "a quotient with a buffer": (lambda m, x: x / m.four, Factor("constant", 0.25)),
    "a quotient with a buffer in place": (lambda m, x: x.div_(m.four), Factor("constant", 0.25)),
    "a buffer of several numbers": (lambda m, x: x * m.table, Factor("constant", None)),
    "a gain": (lambda m, x: x * m.gain, Factor("gain", parameter="gain")),
    "a gain per channel": (lambda m, x: x * m.per_channel, Factor("gain", parameter="per_channel")),
    "a computed gain": (lambda m, x: x * m.gain.tanh(), Factor("gain")),
    "a weight per value": (lambda m, x: x * m.weight, Factor("other")),
    "a mask": (lambda m, x: x * (torch.rand(3, 8) > 0.5), Factor("mask")),
    "a mask like the data": (lambda m, x: x * torch.rand_like(x), Factor("mask")),
    "a scaled mask": (lambda m, x: x * (torch.bernoulli(torch.ones(3, 1)) / 0.5), Factor("mask")),
    "a number over the data": (lambda m, x: 2.0 / x, None),
    "a rounded quotient": (lambda m, x: torch.div(x, 4.0, rounding_mode="floor"), None),
    "a buffer over the data": (lambda m, x: torch.div(m.four, x), Factor("other")),
    "a gain over the data": (lambda m, x: m.gain / x, Factor("other")),
    "the data twice": (lambda m, x: x * x, None),
    "a sum": (lambda m, x: x + 2, None),
}


@pytest.mark.parametrize("name", FACTORS)
def test_what_a_product_multiplies_its_data_with_is_known(name):
    function, factor = FACTORS[name]
    assert last_node(function).factor == factor
