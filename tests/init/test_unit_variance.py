"""LSUV: every layer's output has unit variance on the batch."""

import pytest
import torch
from torch import nn

import sppkit
from sppkit.init import Change, layer_sequential_unit_variance, reset_biases
from sppkit.models.efficientnet import efficientnet_b0
from tests.cases import BasicBlock
from tests.init.test_branch_ends import residual_mlp


def outputs_of(model, *inputs):
    """Read the outputs of all weighted layers in a plain forward pass."""
    seen = {}
    handles = [
        m.register_forward_hook(lambda m, i, o, n=n: seen.__setitem__(n, o.detach().clone()))
        for n, m in model.named_modules()
        if isinstance(m, nn.Linear | nn.Conv2d)
    ]
    with torch.no_grad():
        model(*inputs)
    for handle in handles:
        handle.remove()
    return seen


def deep(width=64, depth=8):
    layers = []
    for _ in range(depth):
        layers += [nn.Linear(width, width), nn.Tanh()]
    return nn.Sequential(*layers)


@pytest.mark.parametrize("orthonormal", [True, False])
def test_every_output_is_within_the_band_in_a_pass_of_its_own(orthonormal):
    torch.manual_seed(0)
    model, x = deep(), torch.randn(128, 64) * 3
    done = layer_sequential_unit_variance(model, x, orthonormal=orthonormal)
    measured = {n: float(o.double().var(correction=0)) for n, o in outputs_of(model, x).items()}
    assert [d.layer for d in done] == list(measured)
    for entry in done:
        assert abs(measured[entry.layer] - 1) < 0.1
        assert entry.after == pytest.approx(measured[entry.layer], rel=1e-6)
        assert entry.iterations <= 10


def test_one_step_is_enough_for_a_layer_without_bias_and_is_division_by_the_deviation():
    torch.manual_seed(0)
    layer = nn.Linear(16, 16, bias=False)
    x, before = torch.randn(64, 16), layer.weight.detach().clone()
    deviation = float(layer(x).detach().double().std(correction=0))
    (done,) = layer_sequential_unit_variance(layer, x, orthonormal=False)
    assert done.iterations == 1
    assert done.before == pytest.approx(deviation**2)
    assert torch.allclose(layer.weight, before / deviation)


def test_orthonormal_weights_are_orthogonal_up_to_the_one_scale():
    torch.manual_seed(0)
    layer = nn.Linear(32, 32)
    layer_sequential_unit_variance(layer, torch.randn(64, 32))
    product = layer.weight.detach() @ layer.weight.detach().T
    assert torch.allclose(product / product[0, 0], torch.eye(32), atol=1e-5)


def test_a_layer_within_the_band_is_left_alone():
    torch.manual_seed(0)
    layer, x = nn.Linear(256, 256, bias=False), torch.randn(64, 256)
    nn.init.normal_(layer.weight, std=256**-0.5)
    before = layer.weight.detach().clone()
    (done,) = layer_sequential_unit_variance(layer, x, orthonormal=False)
    assert done.iterations == 0
    assert torch.equal(layer.weight, before)


def test_the_iterations_end_at_their_limit_and_the_result_says_where_it_stands():
    layer = nn.Linear(4, 4, bias=True)
    with torch.no_grad():
        layer.weight.zero_().fill_diagonal_(0.1)
        layer.bias.copy_(torch.tensor([10.0, -10.0, 10.0, -10.0]))  # variance 100 by itself
    (done,) = layer_sequential_unit_variance(
        layer, torch.randn(32, 4), orthonormal=False, maximum_iterations=3
    )
    assert done.iterations == 3
    assert done.after > 50


def test_a_dead_layer_is_left_alone_and_shows_in_the_result():
    layer = nn.Linear(4, 4)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    (done,) = layer_sequential_unit_variance(layer, torch.randn(8, 4), orthonormal=False)
    assert (done.before, done.after, done.iterations) == (0.0, 0.0, 0)


def test_convolutions_in_a_residual_block_are_rescaled_and_buffers_and_hooks_are_not():
    torch.manual_seed(0)
    block, x = BasicBlock(8, 8).train(), torch.randn(8, 8, 10, 10)
    buffers = {name: buffer.clone() for name, buffer in block.named_buffers()}
    done = layer_sequential_unit_variance(block, x)
    assert [d.layer for d in done] == ["conv1", "conv2"]
    assert all(abs(d.after - 1) < 0.1 for d in done)
    assert all(torch.equal(b, buffers[name]) for name, b in block.named_buffers())
    assert not [h for m in block.modules() for h in m._forward_hooks.values()]


def test_only_the_named_layers_change():
    torch.manual_seed(0)
    model = deep(depth=3)
    before = model[4].weight.detach().clone()
    done = layer_sequential_unit_variance(model, torch.randn(32, 64), layers=["0", "2"])
    assert [d.layer for d in done] == ["0", "2"]
    assert torch.equal(model[4].weight, before)


def test_branches_end_with_the_variance_alpha_squared_and_sums_grow_by_it():
    torch.manual_seed(0)
    model, x = residual_mlp(width=256, blocks=4), torch.randn(512, 256)
    done = {d.layer: d for d in layer_sequential_unit_variance(model, x, alpha=0.2)}
    outputs = {n: float(o.double().var(correction=0)) for n, o in outputs_of(model, x).items()}
    for number in range(4):
        assert outputs[f"{number}.branch.0"] == pytest.approx(1.0, abs=0.1)
        assert outputs[f"{number}.branch.2"] == pytest.approx(0.04, rel=0.1)
        assert done[f"{number}.branch.2"].target == pytest.approx(0.04)
    with torch.no_grad():
        assert float(model(x).var()) == pytest.approx(1 + 4 * 0.04, rel=0.05)


def test_alpha_reaches_the_gradients_inside_a_branch_and_not_that_of_its_last_layer():
    """Of W2 in x + W2 relu(W1 x) the gradient does not depend on W2; that of W1 is linear in it."""
    gradients = []
    for alpha in (1.0, 0.2):
        torch.manual_seed(0)
        model, x = residual_mlp(width=32, blocks=1), torch.randn(64, 32)
        reset_biases(model)
        layer_sequential_unit_variance(model, x, alpha=alpha, tolerance=1e-6)
        model(x).backward(torch.ones(64, 32))
        gradients.append([model[0].branch[i].weight.grad for i in (0, 2)])
    (inside, last), (inside_scaled, last_scaled) = gradients
    assert torch.allclose(last_scaled, last, rtol=1e-3, atol=1e-4)
    assert torch.allclose(inside_scaled, 0.2 * inside, rtol=1e-3, atol=1e-4)


def test_each_group_of_a_convolution_gets_orthonormal_weights_of_its_own():
    torch.manual_seed(0)
    layer = nn.Conv2d(16, 16, 3, groups=16)
    layer_sequential_unit_variance(layer, torch.randn(8, 16, 8, 8))
    norms = layer.weight.detach().flatten(1).norm(dim=1)
    assert torch.allclose(norms, norms[:1].expand(16), rtol=1e-5)


@pytest.mark.slow
def test_the_efficientnet_without_normalisation_is_brought_to_life():
    """From 1e-3 to 2e-28: on the batch it was initialised on, and on another one."""

    def blocks(frame):
        return frame[frame["tap"] == "block"]["average_channel_variance"]

    torch.manual_seed(0)
    model = efficientnet_b0(variant="none", classes=100)
    x, other = torch.randn(2, 128, 3, 32, 32)
    with Change(model, x) as change:
        layer_sequential_unit_variance(model, x, alpha=0.2)
    with Change(model, other) as unchanged:
        pass
    assert len(blocks(change.before)) == 16
    assert blocks(change.before).min() < 1e-27
    for frame in (change.after, unchanged.after):
        assert blocks(frame).between(0.5, 2.0).all(), blocks(frame).tolist()


@pytest.mark.slow
def test_the_efficientnet_fails_the_check_before_and_passes_it_after():
    def initialised(**options):
        model = efficientnet_b0(variant="none", classes=100)
        layer_sequential_unit_variance(model, torch.randn(32, 3, 32, 32), **options)
        return model

    conditions = {"input_size": (3, 32, 32), "seeds": 2, "maximum_seeds": 2}
    before = sppkit.check(lambda: efficientnet_b0(variant="none", classes=100), **conditions)
    assert before.verdict == "fail"
    assert {"SPP001", "SPP101", "SPP201"} <= {finding.code for finding in before.counted}
    after = sppkit.check(lambda: initialised(alpha=0.2), **conditions)
    assert after.verdict == "pass"
    assert not [f for f in after.counted if f.severity != "info"]


@pytest.mark.parametrize("options", [{"tolerance": 0.0}, {"maximum_iterations": 0}])
def test_a_band_or_limit_out_of_range_is_refused(options):
    with pytest.raises(ValueError, match="expected tolerance > 0 and maximum_iterations >= 1"):
        layer_sequential_unit_variance(nn.Linear(2, 2), torch.randn(2, 2), **options)
