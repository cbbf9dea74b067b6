import math
from functools import partial

import numpy as np
import pytest

import sppkit
from sppkit.expectation import expected_ladder, plain_layers
from sppkit.models.mlp import mlp, sn_mlp
from sppkit.theory import (
    MeanField,
    PlainLayer,
    distance_map,
    gradient_factor,
    length_map,
    mean_field,
    named_nonlinearity,
    plain_ladder,
)
from tests.cases import PostActivationResNet


def arc_cosine_kernel(cosine):
    """E[relu(u) relu(v)] of unit gaussians, Cho and Saul, 2009, equation 6 of order 1."""
    angle = math.acos(cosine)
    return (math.sin(angle) + (math.pi - angle) * cosine) / (2 * math.pi)


# -- maps ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [1e-6, 0.3, 1.0, 40.0, 1e8])
def test_he_initialisation_keeps_the_length_and_the_gradients_of_relu(length):
    assert length_map(length, weight_variance=2.0, nonlinearity="relu") == pytest.approx(length)
    factor = gradient_factor(length, weight_variance=2.0, nonlinearity="relu")
    assert factor == pytest.approx(1.0, rel=1e-6)


@pytest.mark.parametrize("weight_variance", [0.2, 1.0, 3.7])
def test_gradient_factor_of_relu_is_half_the_weight_variance(weight_variance):
    factor = gradient_factor(2.3, weight_variance=weight_variance, nonlinearity="relu")
    assert factor == pytest.approx(weight_variance / 2, rel=1e-6)


@pytest.mark.parametrize("length", [0.0, -1.0, math.nan])
def test_pre_activations_without_a_length_have_no_gradient_factor(length):
    with pytest.raises(ValueError, match=f"is above 0, got {length}$"):
        gradient_factor(length, weight_variance=1.0, nonlinearity="tanh")


def test_gradient_factor_of_tanh_is_that_of_an_independent_integration():
    z, weights = np.polynomial.hermite_e.hermegauss(200)
    expected = 1.7 * weights @ (1 - np.tanh(math.sqrt(0.6) * z) ** 2) ** 2 / weights.sum()
    factor = gradient_factor(0.6, weight_variance=1.7, nonlinearity="tanh")
    assert factor == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("length", [1e-6, 0.04, 1.0, 1e4])
@pytest.mark.parametrize("cosine", [-0.9, -0.5, 0.0, 0.3, 0.9, 0.999999])
def test_distance_map_of_relu_is_the_arc_cosine_kernel_of_any_length(cosine, length):
    expected = (0.5 - arc_cosine_kernel(cosine)) * length
    distance = distance_map(
        length, (1.0 - cosine) * length, weight_variance=1.0, nonlinearity="relu"
    )
    assert distance == pytest.approx(expected, rel=1e-9, abs=0)


@pytest.mark.parametrize("name", ["tanh", "gelu", "selu", "relu6", "hard_swish"])
def test_distance_map_is_that_of_sampled_pairs(name):
    rng = np.random.default_rng(0)
    u, other = rng.normal(size=(2, 400_000)) * 1.7
    v = 0.6 * u + 0.8 * other
    g = named_nonlinearity(name)
    sampled = ((g(u) - g(v)) ** 2).mean() / 2
    distance = distance_map(2.89, 0.4 * 2.89, weight_variance=1.0, nonlinearity=name)
    assert distance == pytest.approx(sampled, rel=0.01)


def test_nearly_equal_inputs_part_by_the_gradient_factor():
    tiny = 1e-14
    distance = distance_map(0.8, tiny, weight_variance=1.5, nonlinearity="tanh")
    factor = gradient_factor(0.8, weight_variance=1.5, nonlinearity="tanh")
    assert distance / tiny == pytest.approx(factor, rel=1e-6)


def test_opposite_inputs_are_allowed_and_more_distant_ones_are_not():
    linear = partial(distance_map, weight_variance=3.0, nonlinearity="identity")
    assert linear(1.0, 2.0) == pytest.approx(6.0)
    assert linear(1.0, 0.0) == 0.0
    with pytest.raises(ValueError, match=r"between 0 and 2 x length; got 2.1 of 1.0"):
        linear(1.0, 2.1)
    with pytest.raises(ValueError, match=r"between 0 and 2 x length; got -0.1 of 1.0"):
        linear(1.0, -0.1)


# -- fixed points --------------------------------------------------------------------------------


def test_relu_has_its_closed_fixed_point():
    for bias_variance in (0.001, 0.1, 0.36, 0.44, 4.0):  # fixed points on both sides of length 1
        length = mean_field(1.2, bias_variance, "relu").length
        assert length == pytest.approx(bias_variance / (1 - 0.6), rel=1e-9)
    assert mean_field(1.2, 0.0, "relu").length == 0.0
    assert mean_field(2.2, 0.1, "relu").length == math.inf


def test_selu_is_drawn_to_unit_length():
    field = mean_field(1.0, 0.0, "selu")
    assert field.length == pytest.approx(1.0, abs=1e-9)
    assert field.gradient_factor == pytest.approx(1.0716, abs=1e-3)


def test_tanh_without_biases_is_critical_at_unit_weight_variance():
    assert mean_field(0.9, 0.0, "tanh").gradient_factor == pytest.approx(0.9, rel=1e-6)
    assert mean_field(1.0, 0.0, "tanh").depth_scale > 1e6
    assert mean_field(1.3, 0.0, "tanh").gradient_factor > 1.01


def test_tanh_with_biases_is_critical_on_the_line_of_the_paper():
    # Schoenholz et al., 2017: at bias variance 0.05 the order-to-chaos transition is near 1.76
    assert mean_field(1.66, 0.05, "tanh").gradient_factor < 1.0
    assert mean_field(1.86, 0.05, "tanh").gradient_factor > 1.0
    assert mean_field(1.76, 0.05, "tanh").gradient_factor == pytest.approx(1.0, abs=2e-3)


def test_depth_scale_is_one_over_the_logarithm_and_infinite_at_criticality():
    assert MeanField(1.0, math.exp(-0.25)).depth_scale == pytest.approx(4.0)
    assert MeanField(1.0, math.exp(0.25)).depth_scale == pytest.approx(4.0)
    assert MeanField(1.0, 1.0).depth_scale == math.inf
    assert MeanField(0.0, 0.0).depth_scale == 0.0


def test_weights_of_zero_leave_the_biases_alone():
    assert mean_field(0.0, 0.0, "relu").length == 0.0
    field = mean_field(0.0, 0.5, "relu")
    assert field.length == pytest.approx(0.5)
    assert (field.gradient_factor, field.depth_scale) == (0.0, 0.0)


def test_negative_variances_are_refused():
    with pytest.raises(ValueError, match=r"variances are 0 or more, got -1.0 of the weights"):
        mean_field(-1.0, 0.0, "relu")
    with pytest.raises(ValueError, match=r"weights and -0.1 of the biases"):
        mean_field(1.0, -0.1, "relu")


# -- the curve of a plain network -----------------------------------------------------------------


def test_plain_curve_of_he_keeps_the_second_moment_and_turns_variance_into_mean():
    layers = [PlainLayer(2.0), *[PlainLayer(2.0, 0.0, ("relu",))] * 20]
    ladder = plain_ladder(layers, samples=512)
    variance, squared = ladder.average_channel_variance, ladder.average_channel_squared_mean
    assert variance + squared == pytest.approx(np.full(21, 2.0))
    assert variance[0] == pytest.approx(2.0 * 511 / 512)
    assert (np.diff(variance) < 0).all()
    assert variance[-1] == pytest.approx(0.103, abs=0.002)


def test_plain_curve_of_selu_stays_at_its_fixed_point():
    ladder = plain_ladder([PlainLayer(1.0), *[PlainLayer(1.0, 0.0, ("selu",))] * 10], samples=64)
    assert ladder.average_channel_variance == pytest.approx(np.full(11, 63 / 64), rel=1e-6)
    assert ladder.average_channel_squared_mean == pytest.approx(np.full(11, 1 / 64), rel=1e-5)


def test_normalisations_set_the_plain_curve_back():
    for normalisation in ("layer_norm", "rms_norm"):
        tall = [PlainLayer(9.0), PlainLayer(2.0, 0.5, (normalisation,))]
        ladder = plain_ladder(tall, samples=10)
        assert ladder.average_channel_variance[1] == pytest.approx(1.8)
        assert ladder.average_channel_squared_mean[1] == pytest.approx(0.7)
    batch = [PlainLayer(9.0), PlainLayer(2.0, 0.5, ("batch_norm",))]
    assert plain_ladder(batch, samples=10).average_channel_variance[1] == pytest.approx(2.0)
    assert plain_ladder(batch, samples=10).average_channel_squared_mean[1] == pytest.approx(0.5)


def test_of_two_samples_batch_normalisation_makes_opposites():
    layers = [PlainLayer(3.0), PlainLayer(1.0, 0.0, ("batch_norm", "relu"))]
    ladder = plain_ladder(layers, samples=2)
    # each channel is 1 and -1: behind ReLU 1 and 0, in expectation over gaussian weights
    assert ladder.average_channel_variance[1] == pytest.approx(0.25)
    assert ladder.average_channel_squared_mean[1] == pytest.approx(0.25)


def test_batch_normalisation_over_one_sample_is_refused():
    layers = [PlainLayer(3.0), PlainLayer(1.0, 0.0, ("batch_norm",))]
    with pytest.raises(ValueError, match=r"over two samples or more, got samples=1$"):
        plain_ladder(layers, samples=1)
    assert plain_ladder(layers[:1], samples=1).average_channel_variance.tolist() == [0.0]


def expectation_and_measurement(factory, **arguments):
    recording = sppkit.probe(factory, input_size=(64,), seeds=6, run="net", **arguments)
    structure, table = recording.structure(), recording.table()
    expected = expected_ladder(structure, table, recording.metadata["net"])
    outputs = table[(table["signal"] == "activation") & (table["layer_type"] == "Linear")]
    return expected, outputs.groupby("depth")[list(vars(expected))[:2]].mean()


@pytest.mark.parametrize(
    "factory",
    [
        partial(mlp, 8, 256),
        partial(sn_mlp, 8, 256),
        partial(mlp, 8, 256, "gelu"),
        partial(mlp, 8, 256, "tanh", norm="layer"),
        partial(mlp, 8, 256, norm="batch"),
    ],
    ids=["he", "selu", "gelu", "layer norm", "batch norm"],
)
def test_measured_plain_networks_follow_their_expectation(factory):
    expected, measured = expectation_and_measurement(factory)
    hidden = slice(0, 8)  # the head has ten units only
    for name in ("average_channel_variance", "average_channel_squared_mean"):
        values = getattr(expected, name)[hidden]
        assert measured[name].to_numpy()[hidden] == pytest.approx(values, rel=0.25)
    assert expected.residual_average_channel_variance.size == 0


def test_other_input_is_followed_from_the_first_layer_on():
    expected, measured = expectation_and_measurement(partial(mlp, 6, 256), input="uniform")
    variance = measured["average_channel_variance"].to_numpy()
    assert expected.average_channel_variance[0] == pytest.approx(variance[0], rel=1e-6)
    assert variance[:6] == pytest.approx(expected.average_channel_variance[:6], rel=0.25)


def test_what_is_not_plain_has_no_plain_expectation():
    recording = sppkit.probe(PostActivationResNet, input_size=(3, 16, 16), seeds=1)
    assert plain_layers(recording.structure(), recording.table()) is None


def test_the_plain_expectation_is_drawn_and_said_to_be_anchored():
    recording = sppkit.probe(partial(mlp, 4, 64), input_size=(64,), seeds=1, input="uniform")
    figure = sppkit.plot_signal_propagation(recording)
    dashed = [line for line in figure.axes[1].get_lines() if line.get_label() == "_expected"]
    assert len(dashed) == 1
    assert list(dashed[0].get_xdata()) == [1, 2, 3, 4, 5]
    texts = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    texts += [
        text.get_text() for axes in figure.axes if axes.get_legend()
        for text in axes.get_legend().get_texts()
    ]  # fmt: skip
    assert "expected, anchored at layer 1" in texts
