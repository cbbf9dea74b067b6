"""What a finding says, whole: place, numbers, texts and the fix, for one network of each rule."""

import math
from dataclasses import astuple

import pytest

from sppkit.recording import Recording
from sppkit.rules import Finding, Fix, Severity, judge
from sppkit.theory import nonlinearity_moments
from tests.rules.frames import Layer, chain, recording
from tests.rules.test_backward_rules import loss_of
from tests.rules.test_forward_rules import drifting, dropping, plain, selu
from tests.rules.test_other_rules import grouped, narrow, recurrent, residual, softmax
from tests.rules.test_thresholds import normalised_over, unseen

ERROR, WARNING, INFO = Severity.ERROR, Severity.WARNING, Severity.INFO
LSUV = "Rescale the weights layer by layer to unit variance (LSUV)."


def names(count, first=0):
    return tuple(str(number) for number in range(first, count))


def changed(layers, place, **values):
    """Change what was measured at one layer."""
    for name, value in values.items():
        current = getattr(layers[place], name)
        setattr(layers[place], name, current | value if isinstance(current, dict) else value)
    return layers


def from_place(layers, first, **factors):
    for layer in layers[first:]:
        for name, factor in factors.items():
            setattr(layer, name, getattr(layer, name) * factor)
    return layers


def half(**activation):
    return recording(changed(chain(4), 2, activation={"dtype": "float16", **activation}))


def saturated():
    bounded = [Layer(str(n), 1.0, structure={"nonlinearity": "tanh"}) for n in range(4)]
    return recording(changed(bounded, 1, activation={"variance": 100.0, "mean": -3.0}))


def overflowing():
    layers = changed(chain(9), 7, activation={"nonfinite_fraction": 0.5})
    for place in range(6):
        changed(layers, place, activation={"minimum": -(10.0 ** (place + 1))})
    return recording(changed(layers, 6, activation={"maximum": 1e30}))


def gradients_not_finite():
    network = recording(chain(5), seeds=4)
    table = network.table()
    backward = (table["signal"] == "gradient") & table["seed"].isin([1, 3])
    spoilt = backward & table["layer"].isin(["0", "1", "2"])  # they spread to the layers before
    table.loc[spoilt, "nonfinite_fraction"] = 0.125
    return Recording.from_frames(table, network.structure(), network.metadata)


def lost_in_the_middle():
    """The outputs of two layers are nearly the same for every sample, and those of the last."""
    layers = chain(6)
    for place, share in ((3, 1e-4), (4, 1e-4), (5, 4e-9)):
        changed(layers, place, variance=2.0 * share)
    return recording(layers)


FINDINGS = {
    "vanishing gradients": (
        lambda: recording(chain(7, weight_gradient=1e-9)),
        Finding(
            "SPP201", ERROR, "0", "weight gradient", "norm_to_weight_ratio", 4e-9,
            "above 3e-05 at some layer",
            "gradients do not arrive: |gradient| / |weight| is at most 4e-09 at each of 7 layers",
            LSUV, fix=Fix("LSUV", names(6)),
        ),
    ),
    "vanishing gradients behind an outlying layer": (
        lambda: recording(changed(chain(7, weight_gradient=1e-9), 2, weight=2e-6 / 32)),
        Finding(
            "SPP201", ERROR, "2", "weight gradient", "norm_to_weight_ratio",
            1e-9 / math.sqrt(2e-6 / 32), "above 3e-05 at some layer",
            "gradients do not arrive: |gradient| / |weight| is at most 4e-06 at each of 7 layers: "
            "its weights have 1e-06 times the variance of its peers' (fan-in x variance = 2e-06)",
            "Multiply its initial weights by 1e+03.",
            fix=Fix("scale initialisation", ("2",), 1e3),
        ),
    ),
    "vanishing gradients under a drift": (
        lambda: recording(drifting(0.5, weight_gradient=1e-9)),
        Finding(
            "SPP201", ERROR, "2", "weight gradient", "norm_to_weight_ratio", 4e-9,
            "above 3e-05 at some layer",
            "gradients do not arrive: |gradient| / |weight| is at most 4e-09 at each of 12 layers: "
            "every layer does the same",
            "Multiply the initial weights of all hidden layers by 1.41.",
            fix=Fix("scale initialisation", names(11), math.sqrt(2)),
        ),
    ),
    "exploding gradients": (
        lambda: recording(changed(chain(6, weight_gradient=1e3), 2, weight_gradient=1e5)),
        Finding(
            "SPP202", ERROR, "2", "weight gradient", "norm_to_weight_ratio", 4e3,
            "below 600 at the median layer",
            "gradients explode: at the median layer |gradient| / |weight| is 4e+03, the most at "
            "'2'",
            LSUV, fix=Fix("LSUV", names(5)),
        ),
    ),
    "forgetting": (
        lambda: recording(changed(chain(9), 0, gradient=1e-12)),
        Finding(
            "SPP203", ERROR, "0", "gradient", "second_moment", 1e-8,
            "between 1e-6.5 and 1e2.75",
            "gradient times activation at '0' falls short of that at '8' by a factor of 1e+08",
            LSUV, fix=Fix("LSUV", names(8)),
        ),
    ),
    "chaos": (
        lambda: recording(changed(chain(9), 0, gradient=1e1)),
        Finding(
            "SPP203", ERROR, "0", "gradient", "second_moment", 1e5,
            "between 1e-6.5 and 1e2.75",
            "gradient times activation at '0' exceeds that at '8' by a factor of 1e+05",
            LSUV, fix=Fix("LSUV", names(8)),
        ),
    ),
    "first loss": (
        lambda: recording(chain(4), metadata=loss_of(500.0)),
        Finding(
            "SPP204", WARNING, "3", "", "loss / loss of chance", 250.0, "below 30",
            "the untrained network's loss is 250 times that of chance: the outputs have a root "
            "mean square of 1.41",
            "Multiply the head's initial weights by 0.707 to give the outputs unit scale.",
            fix=Fix("scale initialisation", ("3",), math.sqrt(0.5)),
        ),
    ),
    "bounded logits": (
        lambda: recording(changed(chain(4), 3, structure={"nonlinearity": "relu"})),
        Finding(
            "SPP205", WARNING, "3", "activation", "nonlinearity", None, "none, or log_softmax",
            "a relu stands between the head and the loss: cross-entropy takes logits",
            "Return the output of '3' as it is, and apply the relu only to predict.",
        ),
    ),
    "recurrence": (
        lambda: recurrent(0.1),
        Finding(
            "SPP206", ERROR, "cell", "gradient", "second_moment at the first call / at the last",
            1e7, "below 1e+04",
            "the squared gradient grows by a factor of 1e+07 over the 8 calls of 'cell'",
            "Multiply the recurrent weights by 0.316.",
            fix=Fix("scale initialisation", ("cell",), 10**-0.5),
        ),
    ),
    "weights without gradient": (
        lambda: recording(changed(changed(chain(5), 1, weight_gradient=None), 3,
                                  weight_gradient=None)),
        Finding(
            "SPP302", WARNING, "1", "weight gradient", "share of weights without gradient", 0.4,
            "0",
            "2 parameters, 40% of all values, get no gradient from the loss; the first belongs to "
            "'1'",
            "Set requires_grad, and look for detach(), no_grad() or .data on the way to the loss. "
            "Where they are frozen on purpose, ignore this rule for these layers.",
        ),
    ),
    "weights cut off": (
        lambda: recording(changed(changed(chain(5), 0, weight_gradient=None), 1,
                                  weight_gradient=None)),
        Finding(
            "SPP302", WARNING, "1", "weight gradient", "share of weights without gradient", 0.4,
            "0",
            "2 parameters, 40% of all values, get no gradient from the loss; it stops behind '1'",
            "Set requires_grad, and look for detach(), no_grad() or .data on the way to the loss. "
            "Where they are frozen on purpose, ignore this rule for these layers.",
        ),
    ),
    "decay": (
        lambda: recording(drifting(0.1)),
        Finding(
            "SPP101", ERROR, "1", "activation", "second_moment", 1e-10,
            "between 1e-9 and 1e9",
            "the second moment shrinks by a factor of 1e+10 over 11 places (0.1 at each): every "
            "layer does the same",
            "Multiply the initial weights of all hidden layers by 3.16.",
            fix=Fix("scale initialisation", names(11), math.sqrt(10)),
        ),
    ),
    "growth": (
        lambda: recording(from_place(drifting(1.0), 4, second_moment=1e10, variance=1e10)),
        Finding(
            "SPP101", ERROR, "4", "activation", "second_moment", 1e10,
            "between 1e-9 and 1e9",
            "the second moment grows by a factor of 1e+10 over 11 places (10 at each): the second "
            "moment changes by a factor of 1e+10 there, and by 1 at the median place",
            "Look at what this layer adds or multiplies.",
            fix=Fix("LSUV", ("4",)),
        ),
    ),
    "gain of a place": (
        lambda: recording(from_place(drifting(2.0), 7, second_moment=200.0)),
        Finding(
            "SPP102", WARNING, "7", "activation", "second_moment", 400.0,
            "2, as at the median place, within a factor of 30",
            "the second moment changes by a factor of 400; by 2 at the median place",
            "Multiply its initial weights by 0.0707, or add what is missing in front of it.",
            fix=Fix("scale initialisation", ("7",), math.sqrt(1 / 200)),
        ),
    ),
    "exponential drift": (
        lambda: recording(drifting(2.0)),
        Finding(
            "SPP103", WARNING, "2", "activation", "second_moment", 2.0, "within 1.48 per place",
            "the second moment changes by a factor of 2 at every place, 1.02e+03 over all 11",
            "Multiply the initial weights by 0.707, or normalise.",
            fix=Fix("scale initialisation", names(11), math.sqrt(0.5)),
        ),
    ),
    "mean shift": (
        lambda: recording(changed(changed(chain(8), 4, variance=1e-4), 5, variance=1e-4)),
        Finding(
            "SPP104", WARNING, "4", "activation",
            "average_channel_squared_mean / average_channel_variance", 19999.0, "below 100",
            "the mean of the channels swamps what differs between samples: the average channel "
            "squared mean is 2e+04 times the average channel variance",
            "Standardise the weights (each filter summing to zero), normalise, or use a "
            "self-normalising nonlinearity (SELU with LeCun's initialisation).",
            fix=Fix("scaled weight standardisation", names(7)),
        ),
    ),
    "domain of SELU": (
        lambda: recording([*selu(1.0, 3), *[
            Layer(str(n), 4.0, 4.0, structure={"nonlinearity": "selu"},
                  activation={"mean": 0.25}) for n in range(3, 9)
        ], Layer("9")]),
        Finding(
            "SPP107", WARNING, "3", "activation", "variance", 4.0,
            "mean within ±0.1, variance 0.8 to 1.5",
            "SELU is fed mean 0.25 and variance 4, outside the domain of self-normalisation, in 6 "
            "of 9 layers",
            "Multiply the initial weights by 0.5 (LeCun normal: variance 1 / fan-in), with biases "
            "at zero.",
            fix=Fix("scale initialisation", names(9), 0.5),
        ),
    ),
    "ordered phase": (
        lambda: recording(plain(1.0)),
        Finding(
            "SPP108", WARNING, "0", "weight", "chi, the factor of squared gradients per layer",
            0.5, "within 0.741 to 1.35 for 20 layers",
            "each layer multiplies squared gradients by 0.5 (ordered phase): its depth scale is "
            "1.4 layers, the network has 20",
            "Multiply the initial weights of the hidden layers by 1.41.",
            fix=Fix("scale initialisation", names(19, 1), math.sqrt(2)),
        ),
    ),
    "chaotic phase": (
        lambda: recording(plain(3.0)),
        Finding(
            "SPP108", WARNING, "0", "weight", "chi, the factor of squared gradients per layer",
            1.5, "within 0.741 to 1.35 for 20 layers",
            "each layer multiplies squared gradients by 1.5 (chaotic phase): its depth scale is "
            "2.5 layers, the network has 20",
            "Multiply the initial weights of the hidden layers by 0.816.",
            fix=Fix("scale initialisation", names(19, 1), math.sqrt(1 / 1.5)),
        ),
    ),
    "noise of dropout": (
        lambda: dropping(0.5),
        Finding(
            "SPP109", ERROR, "0.drop", "activation", "Π 1/(1 - p) over the dropout layers", 64.0,
            "below 31.6",
            "6 dropout layers multiply the second moment by 64 in all, and what they add is noise",
            "Lower p to 0.17 in each, or drop only before the head.",
        ),
    ),
    "bottleneck": (
        lambda: narrow(2),
        Finding(
            "SPP110", WARNING, "2", "activation", "values per sample", 2.0,
            "10 classes ask for more than 3",
            "everything passes '2', which returns 2 values per sample, to tell 10 classes apart",
            "Widen the layer.",
        ),
    ),
    "silent branches": (
        lambda: residual(1e-8),
        Finding(
            "SPP105", WARNING, "1.f", "activation",
            "second_moment of the branch / of what enters the block", 1e-8,
            "between 1e-06 and 10000, below 30 at the median block",
            "the residual branch adds next to nothing: its second moment is 1e-08 times that of "
            "the signal it is added to",
            "Multiply the weights at its end by 1e+04, or the branch by a constant.",
            fix=Fix("scale initialisation", ("1.f",), 1e4),
        ),
    ),
    "dominant branches": (
        lambda: residual(1e6),
        Finding(
            "SPP105", ERROR, "1.f", "activation",
            "second_moment of the branch / of what enters the block", 1e6,
            "between 1e-06 and 10000, below 30 at the median block",
            "the residual branch drowns the skip path here and at most blocks: its second moment "
            "is 1e+06 times that of the signal it is added to",
            "Multiply the weights at its end by 0.001, or the branch by a constant.",
            fix=Fix("scale initialisation", ("1.f", "2.f", "3.f", "4.f"), 1e-3),
        ),
    ),
    "silent gains": (
        lambda: residual(1e-8, silent_residual_gains=["1.gain", "2.gain"]),
        Finding(
            "SPP106", INFO, "1", "weight", "largest magnitude", None, "any",
            "2 residual branches start silent, the first through '1.gain'",
            "Nothing to mend. Measure with --activate to see the branches.",
        ),
    ),
    "silent gains, activated": (
        lambda: residual(1e-8, silent_residual_gains=["1.gain"], activated=True),
        Finding(
            "SPP106", INFO, "1", "weight", "largest magnitude", None, "any",
            "1 residual branches start silent, the first through '1.gain' (set to one while "
            "measuring)",
            "Nothing to mend. Measure with --activate to see the branches.",
        ),
    ),
    "branches that never wake": (
        lambda: recording(
            changed(changed(chain(5), 1, weight_gradient=0.0), 2, weight_gradient=0.0),
            metadata={"silent_residual_weights": ["1.weight", "2.weight", "3.weight"]},
        ),
        Finding(
            "SPP106", ERROR, "1", "weight gradient", "second_moment", 0.0, "above 0",
            "2 of 3 silent residual branches can never wake: what silences them gets no gradient, "
            "the first of them '1.weight'",
            "Only the last gain or weight of a branch may start at zero: draw the weights before "
            "it at random.",
            fix=Fix("re-initialise", ("1", "2")),
        ),
    ),
    "unknown initialisation": (
        lambda: recording(changed(changed(chain(5), 2, weight=20 / 32), 3, weight=40 / 32)),
        Finding(
            "SPP303", INFO, "2", "weight", "fan-in x second_moment", 20.0,
            "2 to keep the second moment",
            "the weights of 2 of 4 layers fit no known initialisation; the first has fan-in x "
            "variance = 20, nearest is He (2 / fan-in) with 2",
            "Multiply the initial weights of '2' by 0.316 to keep the second moment.",
            fix=Fix("scale initialisation", ("2",), math.sqrt(0.1)),
        ),
    ),
    "ignored groups": (
        lambda: grouped(2.0 / 8),
        Finding(
            "SPP304", WARNING, "1", "weight", "fan-in x second_moment", 0.25,
            "2 to keep the second moment",
            "fan-in x variance of '1' is 0.25, 1/8 of what a known initialisation gives: its "
            "fan-in ignores the 8 groups, in 1 of 1 grouped layers",
            "Multiply the initial weights by √groups = 2.83.",
            fix=Fix("group-aware fan", ("1",), math.sqrt(8)),
        ),
    ),
    "large weights": (
        lambda: recording(changed(chain(5, weight=400.0), 3, weight=1600.0)),
        Finding(
            "SPP305", ERROR, "3", "weight", "root mean square", 20.0,
            "below 6 at the median layer",
            "the weights of the median layer have a root mean square of 20, the largest are those "
            "of '3'",
            "Multiply the initial weights of all layers by 0.00625.",
            fix=Fix("scale initialisation", names(5), math.sqrt(2 / (32 * 1600))),
        ),
    ),
    "weights that are not finite": (
        lambda: recording(changed(changed(chain(6), 1, activation={"nonfinite_fraction": 1.0}), 4,
                                  weights={"nonfinite_fraction": 0.25})),
        Finding(
            "SPP401", ERROR, "4", "weight", "nonfinite_fraction", 0.25, "0",
            "the first values that are not finite are in the weight (0.25 of it), in 3 of 3 seeds",
            "Draw the weights anew: they are not finite from the start.",
            fix=Fix("re-initialise", ("4",)),
        ),
    ),
    "an overflow": (
        overflowing,
        Finding(
            "SPP401", ERROR, "7", "activation", "nonfinite_fraction", 0.5, "0",
            "the first values that are not finite are in the activation (0.5 of it), in 3 of 3 "
            "seeds; largest magnitudes before it: 2 1e+03, 3 1e+04, 4 1e+05, 5 1e+06, 6 1e+30",
            "Look at what this layer computes from the values before it.",
        ),
    ),
    "gradients that are not finite": (
        gradients_not_finite,
        Finding(
            "SPP401", ERROR, "2", "gradient", "nonfinite_fraction", 0.125, "0",
            "the first values that are not finite are in the gradient (0.12 of it), in 2 of 4 "
            "seeds",
            "Look at what this layer computes from the values before it.",
        ),
    ),
    "headroom": (
        lambda: half(minimum=-20_000.0),
        Finding(
            "SPP402", WARNING, "2", "activation", "maximum", 20_000.0, "below 1.64e+04",
            "magnitudes of 2e+04 come within a factor of 4 of the largest float16 number, 6.55e+04",
            "Scale the weights before it down, normalise, or compute this layer in float32.",
        ),
    ),
    "underflow": (
        lambda: half(float16_underflow_fraction=0.75),
        Finding(
            "SPP402", WARNING, "2", "activation", "float16_underflow_fraction", 0.75, "below 0.5",
            "75% of the values lie below the smallest normal float16 number",
            "Scale the weights before it up, normalise, or use bfloat16.",
        ),
    ),
    "dead units": (
        lambda: recording(changed(chain(5), 2, activation={
            "dead_channel_fraction": 0.6, "samples": 64,
        })),
        Finding(
            "SPP501", WARNING, "2", "activation", "dead_channel_fraction", 0.6, "below 0.5",
            "60% of the channels answer zero to every sample",
            "Start biases at zero, and keep the mean of what enters near zero.",
            fix=Fix("reset biases", ("2",)),
        ),
    ),
    "saturation": (
        saturated,
        Finding(
            "SPP502", WARNING, "1", "activation", "share beyond ±5",
            # of a normal of mean -3 and deviation 10, by its distribution function
            1 - 0.5 * (math.erf(8 / math.sqrt(200)) + math.erf(2 / math.sqrt(200))), "below 0.5",
            "63% of the pre-activations lie beyond ±5, where the nonlinearity is flat (mean -3, "
            "variance 100)",
            "Multiply the layer's initial weights by 0.0958, with its bias at zero.",
            fix=Fix("scale initialisation", ("1",), 109**-0.5),
        ),
    ),
    "one answer": (
        lambda: recording(from_place(chain(6), 3, variance=1e-14)),
        Finding(
            "SPP503", ERROR, "3", "activation",
            "variance across samples / second_moment of the output", 5e-15, "above 1e-08",
            "the output hardly depends on the input: of its second moment only a share of 5e-15 "
            "differs between samples; its output is the first that is the same for every sample",
            "Look at its bias and its gain: start them at zero and at one.",
            fix=Fix("reset biases", ("3",)),
        ),
    ),
    "one answer nearly": (
        lost_in_the_middle,
        Finding(
            "SPP503", ERROR, "3", "activation",
            "variance across samples / second_moment of the output", 4e-9, "above 1e-08",
            "the output hardly depends on the input: of its second moment only a share of 4e-09 "
            "differs between samples; its squared mean is 1e+04 times its variance",
            "Take the constant out that it adds, or start its bias at zero.",
            fix=Fix("reset biases", ("3",)),
        ),
    ),
    "equal units": (
        lambda: recording(changed(chain(5), 1, weights={"minimum": 0.25, "maximum": 0.25})),
        Finding(
            "SPP504", WARNING, "1", "weight", "variance", 0.0, "above 0",
            "all weights of 1 of 4 hidden layers are equal, so that their units are and stay alike",
            "Draw them at random (torch.nn.init.kaiming_normal_).",
            fix=Fix("re-initialise", ("1",)),
        ),
    ),
    "saturated softmax": (
        lambda: softmax(0.97),
        Finding(
            "SPP505", WARNING, "attention.softmax", "activation", "Σp²", 0.97, "below 0.8",
            "the softmax gives nearly all to one answer (Σp² = 0.97): its gradient is next to "
            "nothing",
            "Divide the logits by √d, or normalise queries and keys.",
            fix=Fix("attention scale", ("attention.softmax",)),
        ),
    ),
    "coverage": (
        lambda: unseen(0.5),
        Finding(
            "SPP901", ERROR, "unseen", "", "share of parameters unobserved", 0.5, "below 0.2",
            "50% of the parameters belong to 1 layers of which nothing was read, the first "
            "'unseen'",
            "Probe with an input that reaches them, widen include/exclude, or remove them. The "
            "reasons are listed as not captured.",
        ),
    ),
    "batch dependence": (
        lambda: normalised_over(4),
        Finding(
            "SPP903", WARNING, "norm", "activation", "samples", 4.0, "at least 8",
            "batch normalisation over 4 values per channel in 1 layers: what a sample becomes "
            "depends on its neighbours",
            "Use a larger batch or input, in training too, or group normalisation.",
        ),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FINDINGS)
def test_a_finding_says_where_what_and_what_to_do(name):
    network, wanted = FINDINGS[name]
    (found,) = judge(network(), select=[wanted.code]).findings
    for field in ("code", "severity", "layer", "signal", "statistic", "expected", "message"):
        assert getattr(found, field) == getattr(wanted, field), field
    assert found.advice == wanted.advice
    measured = wanted.measured and pytest.approx(wanted.measured, rel=1e-6, abs=0)
    assert found.measured == measured
    assert (found.file, found.line, found.ignored) == ("net.py", 7, "")
    assert (found.fix is None) == (wanted.fix is None)
    if found.fix and wanted.fix:
        kind, layers, factor = astuple(wanted.fix)
        assert astuple(found.fix) == (kind, layers, factor and pytest.approx(factor, rel=1e-6))
    assert isinstance(found.measured, float | None)


def test_the_weights_behind_a_nonlinearity_are_measured_against_what_it_leaves():
    layers = chain(5)
    changed(layers, 3, weight=20 / 32, structure={"before": "dropout > tanh"})
    (found,) = judge(recording(layers), select=["SPP303"]).findings
    needed = 1 / nonlinearity_moments("tanh").second_moment
    assert found.expected == f"{needed:.3g} to keep the second moment"
    assert found.fix.factor == pytest.approx(math.sqrt(needed / 20))


def test_a_container_that_repeats_what_is_not_finite_is_not_its_origin():
    layers = chain(5)
    for place in (1, 2):
        changed(layers, place, activation={"nonfinite_fraction": 0.5})
    layers[1].structure["role"] = "container"
    (found,) = judge(recording(layers), select=["SPP401"]).findings
    assert found.layer == "2"
