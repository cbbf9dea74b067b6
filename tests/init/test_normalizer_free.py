"""The converter's networks are NF-ResNets: same parameters, same function, same ladder."""

import copy
import pickle
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

import sppkit
from sppkit.expectation import expected_ladder
from sppkit.init import Change, ResidualBranchScale, convert_to_normalizer_free
from sppkit.models.bn_resnet import bn_resnet
from sppkit.models.layers import ScaledStandardizedConv2d
from sppkit.models.nf_resnet import nf_resnet
from sppkit.theory import nonlinearity_gain, normalizer_free_ladder, postactivation_ladder
from sppkit.training.choices import DEFAULT, change
from sppkit.training.data import Wishes, find_data
from sppkit.training.loop import train
from sppkit.training.run_folder import RunFolder
from sppkit.training.task import Task

SMALL = {"variant": "26-cifar", "classes": 10, "width": 4}


def converted(skip_gain=0.0, order="bn-relu", **arguments):
    model = bn_resnet(**{**SMALL, **arguments}, order=order)
    channels = model.stem.conv.in_channels
    convert_to_normalizer_free(model, torch.zeros(2, channels, 16, 16), skip_gain=skip_gain)
    return model


def outputs(model, x):
    found = {}
    hooks = [
        m.register_forward_hook(lambda m, i, o, n=n: found.__setitem__(n, o.clone()))
        for n, m in model.named_modules()
    ]
    with torch.no_grad():
        model(x)
    for hook in hooks:
        hook.remove()
    return found


@pytest.mark.parametrize("order", ["bn-relu", "relu-bn"])
@pytest.mark.parametrize("variant", ["26-cifar", "digits"])
def test_every_layer_computes_what_the_nf_resnet_computes_with_its_weights(order, variant):
    torch.manual_seed(0)
    ours = converted(order=order, variant=variant)
    theirs = nf_resnet(**{**SMALL, "variant": variant})
    with torch.no_grad():
        for parameter in theirs.parameters():
            if parameter.dim() < 2:  # gains, biases and skip gains that are not what they start as
                parameter.normal_(1.0, 0.3)
    known = {name.replace("branch.scale.", ""): name for name in ours.state_dict()}
    ours.load_state_dict({known[name]: value for name, value in theirs.state_dict().items()})
    x = torch.randn(4, 3, 16, 16)
    mine, expected = outputs(ours.double(), x.double()), outputs(theirs.double(), x.double())
    layers = [name for name, m in theirs.named_modules() if isinstance(m, ScaledStandardizedConv2d)]
    blocks = [name for name in mine if name.count(".") == 2 and name.startswith("stages")]
    assert len(layers) > 8
    assert len(blocks) >= 4
    for name in [*layers, "stages"]:
        assert torch.allclose(mine[name], expected[name], rtol=1e-9, atol=1e-12), name
    # DeepMind's head gives the classifier gamma times as much
    gained = ours.head.classifier.weight * nonlinearity_gain("relu")
    logits = mine["head.flatten"] @ gained.T + ours.head.classifier.bias
    assert torch.allclose(logits, expected["head.classifier"], rtol=1e-9, atol=1e-12)


def test_it_has_the_parameters_of_the_nf_resnet():
    def count(model):
        return sum(parameter.numel() for parameter in model.parameters())

    assert count(converted()) == count(nf_resnet(**SMALL))


def test_the_recorder_finds_the_same_taps_gains_and_constants_and_the_same_ladder():
    x, frames = torch.randn(2, 3, 16, 16), []
    for model in (converted(), nf_resnet(**SMALL)):
        with sppkit.record(model) as recording:
            model(x)
        structure = recording.structure()
        tapped = structure[structure["tap"] != ""]
        frames.append(tapped.set_index("layer")[["tap", "block", "skip_kind", "constant"]])
        gains = tapped.loc[tapped["tap"] == "residual branch", "gains"]
        assert gains.str.endswith("skip_gain").all()
    one, other = frames
    assert one.sort_index().equals(other.sort_index())


@pytest.mark.parametrize("build", [partial(converted, 1.0, width=32, padding_mode="circular")])
def test_signals_climb_the_ladder_of_theory(build):
    """At width 32 blocks scatter by some 5 % between draws of the weights: five of them."""
    recording = sppkit.probe(build, input_size=(3, 32, 32), seeds=3, batch_size=8)
    table = recording.table().query("signal == 'activation'")
    ladder = normalizer_free_ladder((2, 2, 2, 2), alpha=0.2)
    blocks = table[table["tap"] == "block"].groupby("block")["average_channel_variance"].mean()
    branches = table[table["tap"] == "residual branch"].groupby("block")
    assert blocks.tolist() == pytest.approx(list(ladder.average_channel_variance), rel=0.15)
    assert branches["average_channel_variance"].mean().tolist() == pytest.approx([1.0] * 8, rel=0.2)


def test_it_passes_the_check():
    diagnosis = sppkit.check(converted, input_size=(3, 16, 16))
    assert diagnosis.verdict == "pass"


def test_weights_are_those_that_were_there_and_no_random_number_is_drawn():
    torch.manual_seed(0)
    model, x = bn_resnet(**SMALL), torch.zeros(2, 3, 16, 16)
    weights, state = model.stages[0][0].branch.conv1.weight, torch.get_rng_state()
    convert_to_normalizer_free(model, x)
    assert model.stages[0][0].branch.conv1.weight is weights
    assert torch.equal(torch.get_rng_state(), state)
    assert not [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    assert all(m.bias is not None for m in model.modules() if isinstance(m, nn.Conv2d))


def test_the_result_says_gains_betas_and_what_went():
    torch.manual_seed(0)
    done = convert_to_normalizer_free(
        model := bn_resnet(**{**SMALL, "variant": "20"}), torch.zeros(2, 3, 16, 16), alpha=0.5
    )
    layers = {layer.layer: layer for layer in done.layers}
    assert (layers["stem.conv"].nonlinearity, layers["stem.conv"].gain) == ("identity", 1.0)
    third = layers["stages.0.2.branch.conv1"]
    assert (third.nonlinearity, third.expected_variance) == ("relu", pytest.approx(1.5))
    assert third.gain == pytest.approx(nonlinearity_gain("relu") / 1.5**0.5)
    assert layers["stages.1.0.shortcut"].expected_variance == pytest.approx(1.75)
    assert layers["stages.1.1.branch.conv1"].expected_variance == pytest.approx(1.25)
    assert layers["stages.1.1.branch.conv2"].expected_variance == 1.0
    assert done.normalizations[-1] == "head.activation.norm"
    assert len(done.branches) == 9
    scale = model.get_submodule(done.branches[0])
    assert (scale.alpha, float(scale.skip_gain.detach())) == (0.5, 0.0)


def test_copies_pickles_and_state_dicts_survive():
    torch.manual_seed(0)
    model, x = converted(1.0).eval(), torch.randn(2, 3, 16, 16)
    fresh = converted(1.0).eval()
    fresh.load_state_dict(model.state_dict())
    with torch.no_grad():
        for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model)), fresh):
            assert torch.equal(other(x), model(x))


def test_it_compiles_into_one_graph():
    torch.manual_seed(0)
    model, x = converted(1.0, variant="digits").eval(), torch.randn(2, 3, 16, 16)
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    with torch.no_grad():
        assert torch.allclose(compiled(x), model(x))


@pytest.mark.parametrize(
    "options",
    [
        {"groups": 4, "bias": True, "padding": "same"},
        {"dilation": 2, "stride": 2, "padding": 1, "padding_mode": "circular"},
        {"groups": 8, "padding": (0, 2), "padding_mode": "reflect"},
    ],
    ids=str,
)
def test_a_convolution_keeps_its_options_and_parameters(options):
    torch.manual_seed(0)
    convolution = nn.Conv2d(8, 8, 3, **{"bias": False, **options})
    model = nn.Sequential(nn.BatchNorm2d(8), nn.GELU(), convolution, nn.Conv2d(8, 2, 1))
    x = torch.randn(2, 8, 9, 9)
    twin = copy.deepcopy(convolution)
    convert_to_normalizer_free(model, x)
    assert model[2].weight is convolution.weight
    if convolution.bias is not None:
        assert model[2].bias is convolution.bias
    with torch.no_grad():
        gain = nonlinearity_gain("gelu")
        centred = twin.weight - twin.weight.mean((1, 2, 3), keepdim=True)
        twin.weight.copy_(gain * centred / centred.flatten(1).norm(dim=1).view(-1, 1, 1, 1))
        assert torch.allclose(model[:3](x), twin(F.gelu(x)), rtol=1e-4, atol=1e-5)


def test_modes_and_dtypes_are_kept():
    model = bn_resnet(**SMALL).double()
    model.stages.eval()
    convert_to_normalizer_free(model, torch.zeros(2, 3, 16, 16, dtype=torch.float64))
    assert all(p.dtype == torch.float64 for p in model.parameters())
    assert not any(m.training for m in model.stages.modules())
    assert all(m.training for m in model.stem.modules())


class PostNormBranch(nn.Module):
    """A block that leaves its sum alone, and ends its branch with a normalisation."""

    def __init__(self, channels):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(channels, channels, 3, padding=1), nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.conv2, self.bn2 = nn.Conv2d(channels, channels, 3, padding=1), nn.BatchNorm2d(channels)

    def forward(self, x):
        return x + self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))


class Wrapped(PostNormBranch):
    """A branch that ends with its convolution, which stands alone among the children."""

    def forward(self, x):
        return x + self.conv2(self.relu(self.bn1(self.conv1(x))))


class WithIdentity(Wrapped):
    """The same, with a place for stochastic depth behind, as in timm."""

    def __init__(self, channels):
        super().__init__(channels)
        self.drop_path = nn.Identity()

    def forward(self, x):
        return x + self.drop_path(self.conv2(self.relu(self.bn1(self.conv1(x)))))


@pytest.mark.parametrize(
    ("block", "place"),
    [(PostNormBranch, "bn2"), (Wrapped, "conv2.scale"), (WithIdentity, "drop_path")],
)
def test_the_scale_stands_in_place_of_what_is_no_more_needed_else_behind_the_convolution(
    block, place
):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 32, 1), block(32), block(32))
    x = torch.randn(8, 3, 12, 12)
    done = convert_to_normalizer_free(model, x, skip_gain=1.0)
    assert done.branches == (f"1.{place}", f"2.{place}")
    assert isinstance(model.get_submodule(f"1.{place}"), ResidualBranchScale)
    variances = [layer.expected_variance for layer in done.layers]
    assert variances == pytest.approx([1.0, 1.0, 1.0, 1.04, 1.0])
    with Change(model, x) as change:
        pass
    blocks = change.after.query("tap == 'block'")["average_channel_variance"]
    assert blocks.tolist() == pytest.approx([1.04, 1.08], rel=0.15)


def test_a_plain_network_keeps_unit_variance_too():
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 64, 3)]
    for _ in range(5):
        layers += [nn.BatchNorm2d(64), nn.SiLU(), nn.Conv2d(64, 64, 3)]
    model, x = nn.Sequential(*layers, nn.Flatten(), nn.LazyLinear(5)), torch.randn(8, 3, 24, 24)
    model(x)
    done = convert_to_normalizer_free(model, x)
    assert [layer.nonlinearity for layer in done.layers] == ["identity", *["silu"] * 5]
    assert done.branches == ()


class Fused(nn.BatchNorm2d):
    """A normalisation with its activation inside, as timm's BatchNormAct2d."""

    def __init__(self, channels):
        super().__init__(channels)
        self.act = nn.ReLU()

    def forward(self, x):
        return self.act(super().forward(x))


def test_what_a_normalisation_is_fused_with_stays():
    model = nn.Sequential(nn.Conv2d(3, 8, 3), Fused(8), nn.Conv2d(8, 8, 3), nn.Conv2d(8, 2, 1))
    done = convert_to_normalizer_free(model, torch.randn(2, 3, 8, 8))
    assert isinstance(model[1].act, nn.ReLU)
    assert [layer.nonlinearity for layer in done.layers] == ["identity", "relu"]
    assert type(model[3]) is nn.Conv2d  # the classifier


class InPlace(nn.Module):
    """A pre-activation block that rectifies in place, behind a normalisation that made a tensor."""

    def __init__(self, channels, functional):
        super().__init__()
        self.norm, self.functional = nn.BatchNorm2d(channels), functional
        self.relu, self.conv = nn.ReLU(inplace=True), nn.Conv2d(channels, channels, 1)

    def forward(self, x):
        h = self.norm(x)
        h = F.relu(h, inplace=True) if self.functional else self.relu(h)
        return x + self.conv(h)


@pytest.mark.parametrize("functional", [False, True])
def test_a_nonlinearity_in_place_does_not_reach_the_skip_path(functional):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 32, 1), *(InPlace(32, functional) for _ in range(3)))
    x = torch.randn(8, 3, 12, 12)
    expected = model[0](x)
    with Change(model, x) as change:
        convert_to_normalizer_free(model, x)
    expected = model[0](x)
    assert torch.equal(model(x), expected)  # SkipInit: the skip paths alone
    blocks = change.after.query("tap == 'block'")["average_channel_variance"]
    assert blocks.tolist() == pytest.approx([1.0] * 3, rel=0.1)


@pytest.mark.parametrize(
    ("variant", "projected"), [("20", (3, 3, 3)), ("26-cifar", (2, 2, 2, 2)), ("digits", (2, 2))]
)
def test_post_activation_networks_climb_their_own_ladder(variant, projected):
    arguments = {"variant": variant, "width": 32, "padding_mode": "circular", "order": "post"}
    build = partial(converted, 1.0, **arguments)
    recording = sppkit.probe(build, input_size=(3, 32, 32), seeds=3, batch_size=8)
    table = recording.table().query("signal == 'activation'")
    ladder = postactivation_ladder(projected, alpha=0.2)
    blocks = table[table["tap"] == "block"].groupby("block")
    branches = table[table["tap"] == "residual branch"].groupby("block")
    for statistic in ("average_channel_variance", "average_channel_squared_mean"):
        expected = list(getattr(ladder, statistic))
        assert blocks[statistic].mean().tolist() == pytest.approx(expected, rel=0.15)
    ends = branches["average_channel_variance"].mean().tolist()
    assert ends == pytest.approx([1.0] * sum(projected), rel=0.2)


@pytest.mark.parametrize(
    ("order", "ladder"), [("bn-relu", normalizer_free_ladder), ("post", postactivation_ladder)]
)
def test_a_plot_draws_the_ladder_that_it_was_made_for(order, ladder):
    recording = sppkit.probe(
        partial(converted, 1.0, order=order), input_size=(3, 16, 16), seeds=1, batch_size=2
    )
    frames = recording.structure(), recording.table(), next(iter(recording.metadata.values()))
    drawn, expected = expected_ladder(*frames), ladder((2, 2, 2, 2), alpha=0.2)
    assert drawn.average_channel_variance == pytest.approx(expected.average_channel_variance)
    assert drawn.average_channel_squared_mean == pytest.approx(
        expected.average_channel_squared_mean
    )


def test_no_ladder_is_drawn_for_a_network_whose_stem_has_the_gain_of_a_nonlinearity_too():
    recording = sppkit.probe(
        partial(nf_resnet, **SMALL, convention="timm", skip_gain=1.0),
        **{"input_size": (3, 16, 16), "seeds": 1, "batch_size": 2},
    )
    frames = recording.structure(), recording.table(), next(iter(recording.metadata.values()))
    assert expected_ladder(*frames) is None


def test_blocks_behind_a_rectified_stem_have_identities_on_their_ladder_from_the_first_on():
    class Block(PostNormBranch):
        def forward(self, x):
            return torch.relu(super().forward(x))

    model = nn.Sequential(nn.Conv2d(3, 8, 1), nn.ReLU(), Block(8), Block(8), nn.Conv2d(8, 2, 1))
    done = convert_to_normalizer_free(model, torch.randn(2, 3, 8, 8), alpha=0.5)
    ladder = postactivation_ladder((2,), first_block="identity", alpha=0.5)
    first, second = (layer for layer in done.layers if layer.layer.endswith("conv1"))
    assert first.gain == pytest.approx(nonlinearity_gain("relu"))
    assert second.gain == pytest.approx(ladder.average_channel_variance[0] ** -0.5)


@pytest.mark.parametrize("argument", ["alpha", "eps"])
def test_constants_out_of_range_are_refused(argument):
    with pytest.raises(ValueError, match=f"{argument}=0 must be a positive number"):
        convert_to_normalizer_free(bn_resnet(**SMALL), torch.zeros(2, 3, 16, 16), **{argument: 0})


@pytest.mark.slow
@pytest.mark.parametrize("order", ["bn-relu", "post"])
def test_it_trains_on_digits_within_two_points_of_the_original(order, tmp_path):
    side, accuracy = 16, {}
    arguments = {"in_channels": 1, "width": 8, "order": order}
    data = find_data("digits", Wishes(size=(1, side, side)))
    recipe = change(DEFAULT, epochs=10, batch_size=32)
    networks = {
        "original": partial(bn_resnet, **{**SMALL, **arguments}),
        "converted": partial(converted, **arguments),
    }
    for name, build in networks.items():
        for seed in range(3):
            task = Task(
                run=name, build=build, origin=name, data=data, recipe=recipe, every=0, seed=seed
            )
            outcome = train(task, RunFolder(tmp_path / f"{name}{seed}"))
            accuracy.setdefault(name, []).append(outcome.test_accuracy)
    means = {name: sum(values) / 3 for name, values in accuracy.items()}
    assert means["converted"] > means["original"] - 0.02, accuracy
