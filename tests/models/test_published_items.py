"""What papers and their tools say of measuring signals, with their numbers: see `facts.py`."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

import sppkit
from sppkit.gate import record_evidence
from sppkit.models import Residual, build
from sppkit.models.normalizer_free import PUBLISHED_GAINS
from sppkit.rules import judge
from sppkit.theory import nonlinearity_gain, normalizer_free_ladder


def recorded(model, x, backward=None, **options):
    """Record one step; give its rows by layer and signal."""
    with sppkit.record(model, **options) as recording:
        y = model(x)
        if backward is not None:
            backward(y).backward()
    return recording.table().set_index(["layer", "signal"]).sort_index()


def identity_layer(features):
    layer = nn.Linear(features, features, bias=False)
    nn.init.eye_(layer.weight)
    return layer


# -- Dewyse: what is measured


def test_statistics_of_vectors_are_per_channel():
    """D1: of N(1, 2²) the squared mean is 1 and the variance 4; their sum is the second moment."""
    x = 1 + 2 * torch.randn(4096, 10)
    row = recorded(nn.Sequential(identity_layer(10)), x).loc[("0", "activation")]
    assert row["average_channel_squared_mean"] == pytest.approx(1.0, rel=0.1)
    assert row["average_channel_variance"] == pytest.approx(4.0, rel=0.1)
    total = row["average_channel_squared_mean"] + row["average_channel_variance"]
    assert row["second_moment"] == pytest.approx(total, rel=1e-6)
    assert row["second_moment"] == pytest.approx(x.square().mean().item(), rel=1e-5)


def test_statistics_per_channel_do_not_jump_where_a_map_is_flattened():
    """D2: a pooled variance and second moment of matrices do, and both are in the table."""
    model = nn.Sequential(nn.Conv2d(3, 8, 4), nn.Flatten(), identity_layer(8))
    nn.init.normal_(model[0].bias, std=4.0)
    rows = recorded(model, torch.randn(64, 3, 4, 4))
    before, after = rows.loc[("0", "activation")], rows.loc[("2", "activation")]
    per_channel = ["average_channel_squared_mean", "average_channel_variance"]
    np.testing.assert_allclose(
        before[per_channel].astype(float), after[per_channel].astype(float), rtol=1e-5
    )
    # what pools (N, F) takes the spread of channel means for variance
    assert after["variance"] > 2 * before["average_channel_variance"]
    jump = after["second_moment"] - before["average_channel_squared_mean"]
    assert jump == pytest.approx(before["average_channel_variance"], rel=1e-3)


def test_weights_show_their_initialisation():
    """D3: 2 / 512 of hidden layers, 2 / 100 of the last by fan-out, gammas of 1, each by itself."""
    model = nn.Sequential(nn.Linear(512, 512), nn.BatchNorm1d(512), nn.ReLU(), nn.Linear(512, 100))
    for layer in (model[0], model[3]):
        nn.init.kaiming_normal_(layer.weight, mode="fan_out")
    rows = recorded(model, torch.randn(8, 512), lambda y: y.square().mean())
    weights = rows[rows["tensor"] == "weight"]["second_moment"]
    assert weights["0", "weight"] == pytest.approx(0.00390625, rel=0.02)
    assert weights["3", "weight"] == pytest.approx(0.02, rel=0.03)
    assert weights["1", "weight"] == 1.0
    assert {"activation", "gradient", "weight", "weight gradient"} <= set(rows.loc["0"].index)


def test_gradients_of_a_mean_loss_carry_the_square_of_the_batch_size():
    """D4: at a uniform softmax over 100 classes (0.0099 / N²): 3.7766e-8 and 2.4170e-6."""
    model = nn.Sequential(nn.Linear(4, 100))
    nn.init.zeros_(model[0].weight)
    nn.init.zeros_(model[0].bias)
    moments = {}
    for n in (512, 64):
        y = torch.arange(n) % 100
        rows = recorded(model, torch.randn(n, 4), lambda z, y=y: cross_entropy(z, y))
        moments[n] = rows.loc[("0", "gradient"), "second_moment"]
    assert moments[512] == pytest.approx(3.7766e-8, rel=1e-4)
    assert moments[64] == pytest.approx(2.4170e-6, rel=1e-4)
    assert moments[512] * 512**2 == pytest.approx(0.0099, rel=1e-4)
    # an epoch of 78 whole batches and one of 64: a mean that does not weigh them
    assert (78 * moments[512] + moments[64]) / 79 == pytest.approx(6.788e-8, rel=1e-3)


class Swish(nn.Module):
    """x sigmoid(x), with the sigmoid as a module of its own."""

    def __init__(self):
        super().__init__()
        self.sigmoid = nn.Sigmoid()

    def forward(self, x):
        return x * self.sigmoid(x)


def test_a_branch_that_ends_with_an_inner_gate_is_read_behind_it():
    """D5: x sigmoid(x), not the gate, whose second moment is above 0.25."""
    x = torch.randn(512, 16)
    branch = nn.Sequential(identity_layer(16), Swish())
    rows = recorded(nn.Sequential(identity_layer(16), Residual(branch)), x)
    ends = rows[rows["tap"] == "residual branch"]["second_moment"]
    expected = (x * x.sigmoid()).square().mean().item()
    assert ends.tolist() == [pytest.approx(expected, rel=1e-5)]
    gate = rows.loc[("1.branch.1.sigmoid", "activation"), "second_moment"]
    assert gate == pytest.approx(x.sigmoid().square().mean().item(), rel=1e-5)
    blocks = rows[rows["tap"] == "block"]["second_moment"]
    merged = (x + x * x.sigmoid()).square().mean().item()
    assert blocks.tolist() == [pytest.approx(merged, rel=1e-5)]


def test_a_probe_leaves_no_hook_and_no_changed_buffer():
    """D6, S3: whatever was measured, mode and running statistics are as they were."""
    model = build("resnet_digits").eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    sppkit.probe(model, input_size=(1, 8, 8), seeds=1, batch_size=4, mode="train")
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert not model.training
    for module in model.modules():
        hooks = (module._forward_hooks, module._forward_pre_hooks, module._backward_hooks)
        assert not any(hooks), module
    assert int(model.state_dict()["stem.activation.norm.num_batches_tracked"]) == 0


def test_no_value_is_fetched_while_a_step_runs(monkeypatch):
    """D7: reductions stay where the tensors are; rows are made when the step is over."""
    model = build("nf_resnet_digits")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    fetched = []
    with sppkit.record(model, optimizer=optimizer) as recording:
        for step in range(2):
            with monkeypatch.context() as patched:
                if step:
                    for name in ("item", "tolist", "numpy", "cpu"):
                        patched.setattr(torch.Tensor, name, lambda *_, n=name: fetched.append(n))
                model(torch.randn(4, 1, 8, 8)).square().mean().backward()
            optimizer.step()
    assert fetched == []
    assert set(recording.table()["step"]) == {0, 1}


# -- Dewyse: what is concluded


@pytest.mark.parametrize(("gain", "words"), [(4.0, "grow"), (0.05, "shrink")])
def test_signals_that_explode_or_vanish_are_detected(gain, words):
    """D13: and the layers at fault are named; a healthy network of the same shape passes."""

    def chain(factor):
        layers = []
        for _ in range(10):
            linear = nn.Linear(64, 64)
            nn.init.normal_(linear.weight, std=factor * (2 / 64) ** 0.5)
            layers += [linear, nn.ReLU()]
        return nn.Sequential(*layers, nn.Linear(64, 10))

    sick = judge(record_evidence(lambda: chain(gain), input_size=(64,), seeds=3))
    healthy = judge(record_evidence(lambda: chain(1.0), input_size=(64,), seeds=3))
    errors = [finding for finding in sick.findings if finding.severity == "error"]
    assert errors
    assert not [finding for finding in healthy.findings if finding.severity == "error"]


def test_batch_normalisation_passes_gradients_back_by_gamma_over_sigma():
    """D14: dL/dx = gamma / sigma (g - mean g - x' mean(g x')), per channel."""
    norm = nn.BatchNorm1d(6, eps=1e-12).double()
    nn.init.uniform_(norm.weight, 0.5, 2.0)
    x = (3 * torch.randn(32, 6, dtype=torch.double) + 1).requires_grad_()
    g = torch.randn(32, 6, dtype=torch.double)
    norm(x).backward(g)
    sigma = x.detach().std(0, correction=0)
    normal = (x.detach() - x.detach().mean(0)) / sigma
    expected = norm.weight.detach() / sigma * (g - g.mean(0) - normal * (g * normal).mean(0))
    torch.testing.assert_close(x.grad, expected)


def test_train_and_eval_are_probed_apart_over_several_seeds():
    """D15: batch normalisation gives variance 1 in training, what its averages make in eval."""
    train, evaluation = (
        sppkit.probe(
            lambda: nn.Sequential(nn.Linear(16, 32), nn.BatchNorm1d(32)),
            input_size=(16,),
            mode=mode,
            seeds=3,
        ).table()
        for mode in ("train", "eval")
    )
    rows = [t[(t["layer"] == "1") & (t["signal"] == "activation")] for t in (train, evaluation)]
    assert all(sorted(r["seed"]) == [0, 1, 2] for r in rows)
    assert np.allclose(rows[0]["average_channel_variance"], 1.0, atol=1e-3)
    assert (rows[1]["average_channel_variance"] < 0.6).all()


# -- Brock et al.: theory


@pytest.mark.parametrize("name", PUBLISHED_GAINS)
def test_published_gains_are_within_a_thousandth_of_the_exact_ones(name):
    """N1: they were sampled, ours are computed."""
    assert PUBLISHED_GAINS[name] == pytest.approx(nonlinearity_gain(name), rel=1e-3)


@pytest.mark.parametrize(
    ("name", "gain"),
    [
        ("relu", math.sqrt(2 / (1 - 1 / math.pi))),
        ("silu", 1.7871872),
        ("gelu", 1.7009262),
        ("gelu_tanh", 1.7009166),
        ("selu", 1.0),
        ("sigmoid", 4.8013134),
        ("tanh", 1.5925374),
        ("hard_swish", 1.8138715),
        ("mish", 1.5920254),
    ],
)
def test_exact_gains(name, gain):
    """N1: by quadrature."""
    assert nonlinearity_gain(name) == pytest.approx(gain, rel=1e-6)


def test_the_ladder_of_the_authors_code():
    """N3: what enters, 1 / beta, and what leaves the blocks of stages of 3 4 6 3."""
    ladder = normalizer_free_ladder((3, 4, 6, 3))
    entering = [
        *(1, 1.04, 1.08),
        *(1.12, 1.04, 1.08, 1.12),
        *(1.16, 1.04, 1.08, 1.12, 1.16, 1.2),
        *(1.24, 1.04, 1.08),
    ]
    np.testing.assert_allclose(ladder.entering_variance, entering, atol=1e-12)
    inverse = [1, 0.980581, 0.96225, 0.944911, 0.928477, 0.912871, 0.898027]
    found = np.unique((1 / np.sqrt(ladder.entering_variance)).round(6))[::-1]
    np.testing.assert_allclose(found, inverse, atol=1e-6)
    leaving = [1 + 0.04 * i for depth in (3, 4, 6, 3) for i in range(1, depth + 1)]
    np.testing.assert_allclose(ladder.average_channel_variance, leaving, atol=1e-12)
    assert normalizer_free_ladder((3, 4, 23, 3)).average_channel_variance[29] == pytest.approx(1.92)


def test_a_plot_of_fifty_layers_has_17_points_and_16_residual_ones():
    """N7: behind the stem, behind each of 16 merges, and at the end of each branch."""
    recording = sppkit.probe(
        lambda: build("nf_resnet50", width=4), input_size=(3, 32, 32), seeds=1, batch_size=2
    )
    rows = recording.table().query("signal == 'activation'")
    taps = rows["tap"].astype(str).value_counts().drop("").to_dict()
    assert taps == {"stem": 1, "block": 16, "residual branch": 16, "skip path": 4}


def test_silent_branches_are_shown_on_request_and_restored():
    """N9: at the branch's end of timm's variant nothing is seen, and something when activated."""
    network = build("nf_resnet_digits", convention="timm", skip_gain=None)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    variances = []
    for activate in (False, True):
        recording = sppkit.probe(
            network, input_size=(1, 8, 8), seeds=1, batch_size=8, activate=activate
        )
        rows = recording.table().query("tap == 'residual branch' and signal == 'activation'")
        variances.append(rows["average_channel_variance"].to_numpy())
    assert (variances[0] == 0).all()
    assert (variances[1] > 0.3).all()
    assert all(torch.equal(t, before[name]) for name, t in network.state_dict().items())


# -- tools


def test_what_is_read_is_not_changed_by_a_later_layer_in_place():
    """S1: batch normalisation before an in-place ReLU has variance 1 and squared mean 0."""
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(inplace=True))
    row = recorded(model, torch.randn(16, 3, 8, 8)).loc[("1", "activation")]
    assert row["average_channel_variance"] == pytest.approx(1.0, abs=1e-3)
    assert row["average_channel_squared_mean"] == pytest.approx(0.0, abs=1e-10)


def test_hooks_are_gone_after_success_and_after_failure():
    """S2: and a second recording does not change the first one's rows."""
    model = nn.Sequential(nn.Linear(4, 4))

    def hooks():
        return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())

    with sppkit.record(model) as first:
        model(torch.randn(2, 4))
    assert hooks() == 0
    rows = len(first.table())
    with pytest.raises(RuntimeError), sppkit.record(model):
        model(torch.randn(2, 5))
    assert hooks() == 0
    with sppkit.record(model):
        model(torch.randn(2, 4))
    assert len(first.table()) == rows


@pytest.mark.parametrize("n", [8, 32])
def test_variances_are_biased(n):
    """S4: n / (n - 1) of them are unbiased; one value has variance 0, and its number is told."""
    x = torch.randn(n, 5)
    row = recorded(nn.Sequential(identity_layer(5)), x).loc[("0", "activation")]
    unbiased = x.var(0, correction=1).mean().item()
    assert row["average_channel_variance"] * n / (n - 1) == pytest.approx(unbiased, rel=1e-5)
    single = recorded(nn.Sequential(identity_layer(5)), x[:1]).loc[("0", "activation")]
    assert (single["average_channel_variance"], single["samples"]) == (0.0, 1)


def test_names_order_and_calls_are_told_and_a_pattern_without_match_is_refused():
    """S5: a layer that is used twice has two rows."""
    layer = nn.Linear(4, 4)
    model = nn.Sequential(layer, nn.ReLU(), layer)
    with sppkit.record(model) as recording:
        model(torch.randn(2, 4))
    rows = recording.table().query("signal == 'activation' and role == 'leaf'")
    assert list(rows.sort_values(["layer", "call"])["layer"]) == ["0", "0", "1"]
    assert sorted(rows[rows["layer"] == "0"]["call"]) == [0, 1]
    with pytest.raises(ValueError, match="matched no layer"), sppkit.record(model, include="nope"):
        model(torch.randn(2, 4))


def test_the_batch_is_the_users_or_noise_of_a_seed():
    """S6: equal seeds give equal numbers, the user's batch is used as it is."""
    model = nn.Sequential(identity_layer(4))
    one, two = (
        sppkit.probe(model, input_size=(4,), seeds=1, seed=7).table()["second_moment"]
        for _ in range(2)
    )
    assert one.equals(two)
    batch = torch.full((3, 4), 2.0)
    rows = sppkit.probe(model, input=batch, seeds=1).table().query("signal == 'activation'")
    assert (rows["second_moment"] == 4.0).all()
    assert (rows["samples"] == 3).all()


@pytest.mark.parametrize(
    ("layer", "size", "channels", "samples"),
    [
        (nn.Linear(4, 6), (5, 4), 6, 5),
        (nn.Conv1d(4, 6, 1), (5, 4, 7), 6, 35),
        (nn.Conv3d(4, 6, 1), (5, 4, 2, 3, 2), 6, 60),
        (nn.Linear(4, 6), (5, 7, 4), 6, 35),
    ],
    ids=["matrix", "sequence", "volume", "tokens"],
)
def test_channels_are_found_in_every_rank(layer, size, channels, samples):
    """S7: matrices, sequences, volumes and tokens."""
    row = recorded(nn.Sequential(layer), torch.randn(size)).loc[("0", "activation")]
    assert (row["channels"], row["samples"]) == (channels, samples)
