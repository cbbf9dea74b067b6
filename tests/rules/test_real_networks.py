"""The rules on the recordings of real networks: healthy ones pass, sick ones fail by name."""

import pytest
import torch
from torch import nn

from sppkit.gate import record_evidence
from sppkit.models.mlp import mlp, sn_mlp
from sppkit.models.registry import REFERENCES
from sppkit.rules import judge

SMALL = [
    reference
    for reference in REFERENCES
    if reference.is_small
    and reference.parameters < 1_000_000
    and not reference.dead_at_initialization
]


def diagnose(factory, input_size, seeds=3, **selection):
    return judge(record_evidence(factory, input_size=input_size, seeds=seeds), **selection)


class Block(nn.Module):
    """x + g f(x), with f in ConvNeXt's order."""

    def __init__(self, width, gain, end=None):
        super().__init__()
        self.depthwise = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.norm = nn.GroupNorm(1, width)
        self.wide = nn.Conv2d(width, 4 * width, 1)
        self.narrow = nn.Conv2d(4 * width, width, 1)
        self.end = end(width) if end else nn.Identity()
        if end:
            nn.init.zeros_(self.end.weight)
        self.gamma = nn.Parameter(torch.full((width, 1, 1), gain))

    def forward(self, x):
        hidden = nn.functional.gelu(self.wide(self.norm(self.depthwise(x))))
        return x + self.gamma * self.end(self.narrow(hidden))


def convnext(gain, end=None):
    body = [Block(16, gain, end) for _ in range(5)]
    pooled = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LayerNorm(16), nn.Linear(16, 10)]
    return nn.Sequential(nn.Conv2d(3, 16, 2, 2), *body, *pooled)


def transformer(depth=4):
    layer = nn.TransformerEncoderLayer(
        32, 4, 64, dropout=0.0, batch_first=True, norm_first=True, activation="gelu"
    )
    encoder = nn.TransformerEncoder(layer, depth, nn.LayerNorm(32), enable_nested_tensor=False)
    return nn.Sequential(nn.Linear(8, 32), encoder, nn.Flatten(), nn.Linear(32 * 8, 10))


HEALTHY = {
    **{reference.name: (reference.factory(), reference.input_size) for reference in SMALL},
    "He of depth 20": (lambda: mlp(20, 128), (64,)),
    "narrow He": (lambda: mlp(8, 24), (64,)),
    "SELU of depth 20": (lambda: sn_mlp(20, 128), (64,)),
    "pre-norm transformer": (transformer, (8, 8)),
    "LayerScale": (lambda: convnext(1e-6), (3, 16, 16)),
    "gains of zero": (lambda: convnext(0.0), (3, 16, 16)),
    "zero-gamma batch norm": (lambda: convnext(1.0, nn.BatchNorm2d), (3, 16, 16)),
}


@pytest.mark.parametrize("name", HEALTHY)
def test_healthy_networks_pass(name):
    diagnosis = diagnose(*HEALTHY[name])
    assert diagnosis.verdict == "pass", diagnosis.findings


def stack(depth, gain, nonlinearity, bias=0.0, width=128):
    layers, inputs = [], 64
    for _ in range(depth):
        linear = nn.Linear(inputs, width)
        nn.init.normal_(linear.weight, std=(gain / inputs) ** 0.5)
        nn.init.constant_(linear.bias, bias)
        layers += [linear, nonlinearity()]
        inputs = width
    return nn.Sequential(*layers, nn.Linear(width, 10))


def spoilt(number, change, depth=8):
    def build():
        network = stack(depth, 2.0, nn.ReLU)
        change(network[2 * number])
        return network

    return build


def break_weight(linear):
    linear.weight.data[3, 5] = float("nan")


def kill(linear):
    nn.init.constant_(linear.bias, -30.0)


def silence(linear):
    nn.init.zeros_(linear.weight)


SICK = {  # network, the rule of its fault, and the layer it names; linear layers are even
    "NaN in a weight": (spoilt(4, break_weight), "SPP401", "8"),
    "dead bias": (spoilt(3, kill), "SPP501", "7"),  # the nonlinearity behind it is dead
    "zero layer": (spoilt(5, silence), "SPP201", "10"),
    "gain far too small": (lambda: stack(20, 0.5, nn.ReLU), "SPP201", "2"),
    "gain far too large": (lambda: stack(20, 8.0, nn.ReLU), "SPP202", "2"),
    "deep sigmoid": (lambda: stack(20, 1.0, nn.Sigmoid), "SPP503", "2"),  # all let it fade
    "saturated tanh": (lambda: stack(20, 36.0, nn.Tanh), "SPP203", "0"),
    "detached": (lambda: stack(5, 2.0, nn.ReLU).requires_grad_(False), "SPP302", "10"),
}


@pytest.mark.parametrize("name", SICK)
def test_sick_networks_fail_by_the_rule_of_their_fault_and_the_layer_is_named(name):
    factory, code, layer = SICK[name]
    diagnosis = diagnose(factory, (64,))
    found = {finding.code: finding for finding in diagnosis.findings}
    assert diagnosis.verdict == "fail"
    assert found[code].layer == layer
    assert diagnosis.first_offender.layer == ("6" if name == "dead bias" else layer)


def test_rules_need_neither_torch_nor_the_network(tmp_path):
    import subprocess
    import sys

    path = tmp_path / "net.parquet"
    record_evidence(lambda: mlp(4, 32), input_size=(64,), seeds=2).save(path)
    code = (
        f"import sys, sppkit; from sppkit.rules import judge; d = judge(sppkit.read({str(path)!r}))"
        "; print(d, 'torch' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("Diagnosis(target=")
    assert run.stdout.endswith("False\n")
