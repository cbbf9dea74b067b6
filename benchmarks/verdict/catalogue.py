"""The networks of the benchmark: families, each with a healthy form and variants with faults.

Factors were chosen so that both outcomes occur near the border. Whether a variant trains is not
said here: only training says it.
"""

from collections.abc import Callable
from typing import Any

from torch import nn

from benchmarks.verdict.faults import Injection
from benchmarks.verdict.network import Network
from benchmarks.verdict.networks.attention import mixer, spatial_gating, transformer
from benchmarks.verdict.networks.branching import (
    dense,
    gated_linear,
    highway,
    inception,
    maxout,
    unet,
)
from benchmarks.verdict.networks.convolutional import convolutional
from benchmarks.verdict.networks.mobile import convnext, inverted_residual, shuffle
from benchmarks.verdict.networks.multilayer import multilayer_perceptron
from benchmarks.verdict.networks.recurrent import gated_recurrent, recurrent
from benchmarks.verdict.networks.residual import (
    fixup,
    normaliser_free,
    residual,
    residual_perceptron,
)

Variant = dict[str, Any] | Injection | tuple[Injection, ...]
NAN = float("nan")


def family(
    name: str,
    builder: Callable[..., nn.Module],
    base: dict[str, Any],
    variants: dict[str, Variant],
) -> tuple[Network, ...]:
    """List a family's healthy form and its variants: other settings, or injections."""
    return (
        Network(name, "", builder, base),
        *(_variant(name, fault, builder, base, variant) for fault, variant in variants.items()),
    )


def _variant(
    name: str, fault: str, builder: Callable[..., nn.Module], base: dict[str, Any], what: Variant
) -> Network:
    if isinstance(what, dict):
        return Network(name, fault, builder, base | what)
    injections = what if isinstance(what, tuple) else (what,)
    return Network(name, fault, builder, base, injections)


def gains(*factors: float) -> dict[str, Variant]:
    """Variants whose initial weights are all too large or too small by a factor."""
    return {f"gain {factor:g}": {"gain": factor} for factor in factors}


def whole(kind: str, *amounts: float) -> dict[str, Variant]:
    """Variants with a module behind the whole network."""
    return {f"{kind} {amount:g} at the end": Injection(kind, "", amount) for amount in amounts}


MULTILAYER = (
    *family("perceptron, ReLU", multilayer_perceptron, {"depth": 10}, {
        **gains(0.2, 0.4, 0.6, 1.5, 2.5, 5.0),
        "torch's initialisation": {"gain": None},
        "equal weights everywhere": tuple(
            Injection("equal weights", f"blocks.{i}.linear", 0.02) for i in range(10)
        ),
        "dead bias in layer 4": Injection("set bias", "blocks.4.linear", -20.0),
        "bias -2 in layer 4": Injection("set bias", "blocks.4.linear", -2.0),
        "zero weights in layer 6": Injection("scale weights", "blocks.6.linear", 0.0),
        "weights x 1e-3 in layer 5": Injection("scale weights", "blocks.5.linear", 1e-3),
        "weights x 0.1 in layer 5": Injection("scale weights", "blocks.5.linear", 0.1),
        "weights x 1e4 in layer 5": Injection("scale weights", "blocks.5.linear", 1e4),
        "weights x 10 in layer 5": Injection("scale weights", "blocks.5.linear", 10.0),
        "NaN in layer 3": Injection("spoil weight", "blocks.3.linear", NAN),
        "infinite weight in layer 7": Injection("spoil weight", "blocks.7.linear", float("inf")),
        "frozen before the head": Injection("freeze", "blocks"),
        "frozen throughout": Injection("freeze", ""),
        "gradient stopped before the head": Injection("detach", "blocks"),
        "gradient stopped behind the head": Injection("detach", "head"),
        "zero head": Injection("scale weights", "head", 0.0),
        **whole("scale", 1e-6, 1e-3, 30.0, 1e4),
        "softmax at the end": Injection("softmax", ""),
        "sigmoid at the end": Injection("sigmoid", ""),
        "ReLU at the end": Injection("relu", ""),
        "mean over the batch in layer 5": Injection("mean over batch", "blocks.5"),
        **{f"dropout {p}": {"drop": p} for p in (0.2, 0.5, 0.9)},
    }),
    *family("deep perceptron, ReLU", multilayer_perceptron, {"depth": 30, "width": 48}, {
        **gains(0.7, 0.85, 1.2, 1.5),
        "torch's initialisation": {"gain": None},
        "orthogonal": {"distribution": "orthogonal"},
        "bottleneck of 1": {"bottleneck": 1},
        "bottleneck of 3": {"bottleneck": 3},
        "leaky": {"nonlinearity": "leaky"},
    }),
    *family("perceptron, tanh", multilayer_perceptron, {"depth": 12, "nonlinearity": "tanh"}, {
        **gains(0.1, 0.3, 0.5, 2.0, 4.0, 10.0, 50.0),
        "torch's initialisation": {"gain": None},
        "orthogonal": {"distribution": "orthogonal"},
        "saturated layer 6": Injection("scale weights", "blocks.6.linear", 300.0),
        "bias 8 in layer 6": Injection("set bias", "blocks.6.linear", 8.0),
        "weights x 1e-3 in layer 3": Injection("scale weights", "blocks.3.linear", 1e-3),
        "NaN in layer 8": Injection("spoil weight", "blocks.8.linear", NAN),
    }),
    *family("perceptron, sigmoid", multilayer_perceptron, {"depth": 3, "nonlinearity": "sigmoid"}, {
        **{f"depth {n}": {"depth": n} for n in (6, 10, 16)},
        **{
            f"torch's initialisation, depth {n}": {"depth": n, "gain": None} for n in (2, 4, 6, 10)
        },
        "gain 30": {"gain": 30.0},
        "hard sigmoid, depth 8": {"nonlinearity": "hardsigmoid", "depth": 8, "gain": None},
        "batch norm, depth 10": {"norm": "batch", "depth": 10},
    }),
    *family("perceptron, SELU", multilayer_perceptron, {"depth": 16, "nonlinearity": "selu"}, {
        **gains(0.3, 0.6, 1.4, 2.0, 5.0),
        "torch's initialisation": {"gain": None},
        "dropout 0.1": {"drop": 0.1},
        "dropout 0.5": {"drop": 0.5},
    }),
    *family("perceptron, other units", multilayer_perceptron,
            {"depth": 10, "nonlinearity": "gelu"}, {
        **gains(0.3, 0.6, 1.6, 3.0),
        "SiLU": {"nonlinearity": "silu"},
        "SiLU, torch's initialisation": {"nonlinearity": "silu", "gain": None},
        "Mish, depth 20, torch's initialisation":
            {"nonlinearity": "mish", "gain": None, "depth": 20},
        "softplus": {"nonlinearity": "softplus"},
        "softplus, gain 0.5": {"nonlinearity": "softplus", "gain": 0.5},
        "softsign": {"nonlinearity": "softsign"},
        "squared ReLU": {"nonlinearity": "square"},
        "squared ReLU, depth 4": {"nonlinearity": "square", "depth": 4},
        "squared ReLU, gain 0.7": {"nonlinearity": "square", "gain": 0.7},
        "sine": {"nonlinearity": "sine"},
        "sine, gain 6": {"nonlinearity": "sine", "gain": 6.0},
        "Gaussian units": {"nonlinearity": "gaussian"},
        "sign": {"nonlinearity": "sign"},
        "ELU": {"nonlinearity": "elu"},
    }),
    *family("linear network", multilayer_perceptron, {"depth": 12, "nonlinearity": "identity"}, {
        **gains(0.1, 0.4, 0.7, 1.5, 3.0),
        "orthogonal": {"distribution": "orthogonal"},
        "bottleneck of 1": {"bottleneck": 1},
    }),
    *family("perceptron, batch norm", multilayer_perceptron, {"depth": 10, "norm": "batch"}, {
        **gains(0.01, 100.0),
        "depth 25": {"depth": 25},
        "depth 60": {"depth": 60, "width": 32},
        "norm after the nonlinearity": {"norm_last": True},
        "tanh": {"nonlinearity": "tanh"},
        "zero gamma in layer 4": Injection("equal weights", "blocks.4.norm", 0.0),
        "gamma 0.01 in layer 4": Injection("equal weights", "blocks.4.norm", 0.01),
        "dead bias in layer 4": Injection("set bias", "blocks.4.norm", -30.0),
        "weights x 1e-4 in layer 5": Injection("scale weights", "blocks.5.linear", 1e-4),
        "weights x 1e4 in layer 5": Injection("scale weights", "blocks.5.linear", 1e4),
        "NaN in layer 2": Injection("spoil weight", "blocks.2.linear", NAN),
    }),
    *family("perceptron, layer norm", multilayer_perceptron, {"depth": 10, "norm": "layer"}, {
        **gains(0.01, 100.0),
        "depth 40": {"depth": 40, "width": 48},
        "RMS norm": {"norm": "rms"},
        "sigmoid": {"nonlinearity": "sigmoid"},
        "zero gamma in layer 6": Injection("equal weights", "blocks.6.norm", 0.0),
        "bias -6 in layer 3": Injection("set bias", "blocks.3.norm", -6.0),
        "head x 1e3": Injection("scale weights", "head", 1e3),
    }),
)  # fmt: skip

CONVOLUTIONAL = (
    *family("VGG", convolutional, {"depths": (4, 4)}, {
        **gains(0.1, 0.3, 0.5, 0.7, 1.5, 2.5, 6.0),
        "torch's initialisation": {"gain": None},
        "torch's initialisation, tanh": {"gain": None, "nonlinearity": "tanh"},
        "sigmoid": {"nonlinearity": "sigmoid"},
        "sigmoid, torch's initialisation": {"nonlinearity": "sigmoid", "gain": None},
        "global mean": {"flat": False},
        "dead bias in the fourth": Injection("set bias", "stages.0.3.conv", -50.0),
        "weights x 1e-3 in the third": Injection("scale weights", "stages.0.2.conv", 1e-3),
        "weights x 1e3 in the sixth": Injection("scale weights", "stages.1.1.conv", 1e3),
        "zero weights in the fifth": Injection("scale weights", "stages.1.0.conv", 0.0),
        "NaN in the second": Injection("spoil weight", "stages.0.1.conv", NAN),
        "mean over the batch": Injection("mean over batch", "stages.0"),
    }),
    *family("deep VGG", convolutional, {"depths": (7, 7), "widths": (12, 20), "flat": False}, {
        **gains(0.7, 1.3),
        "torch's initialisation": {"gain": None},
        "GELU, torch's initialisation": {"gain": None, "nonlinearity": "gelu"},
        "leaky": {"nonlinearity": "leaky"},
        "average pooling": {"pool": "average"},
        "SELU": {"nonlinearity": "selu"},
    }),
    *family("VGG, batch norm", convolutional, {"depths": (4, 4), "norm": "batch", "flat": False}, {
        **gains(0.001, 1000.0),
        "depth 20": {"depths": (10, 10), "widths": (12, 20)},
        "group norm": {"norm": "group"},
        "layer norm": {"norm": "layer"},
        "instance norm": {"norm": "instance"},
        "instance norm without a nonlinearity": {"norm": "instance", "nonlinearity": "identity"},
        "bias -5 in the third": Injection("set bias", "stages.0.2.norm", -5.0),
        "zero gamma in the sixth": Injection("equal weights", "stages.1.1.norm", 0.0),
        "weights x 1e-4 in the third": Injection("scale weights", "stages.0.2.conv", 1e-4),
    }),
    *family("LeNet", convolutional,
            {"depths": (1, 1), "widths": (8, 16), "nonlinearity": "tanh", "pool": "average"}, {
        **gains(0.01, 0.1, 10.0, 100.0),
        "sigmoid, torch's initialisation": {"nonlinearity": "sigmoid", "gain": None},
        "torch's initialisation": {"gain": None},
        "ReLU": {"nonlinearity": "relu"},
        "frozen convolutions": Injection("freeze", "stages"),
        "head x 1e4": Injection("scale weights", "head", 1e4),
        "head x 1e-4": Injection("scale weights", "head", 1e-4),
        "gradient stopped at the end": Injection("detach", ""),
    }),
    *family("separable convolutions", convolutional,
            {"depths": (4, 4), "separable": True, "norm": "batch"}, {
        "no norm": {"norm": "none"},
        "no norm, torch's initialisation": {"norm": "none", "gain": None},
        "no norm, fan-in without groups": {"norm": "none", "ignore_groups": True},
        "no norm, gain 0.4": {"norm": "none", "gain": 0.4},
        "fan-in without groups": {"ignore_groups": True},
    }),
    *family("grouped convolutions", convolutional,
            {"depths": (4, 4), "widths": (16, 32), "groups": 8}, {
        "fan-in without groups": {"ignore_groups": True},
        "fan-in without groups, 4 groups": {"ignore_groups": True, "groups": 4},
        "fan-in without groups, 2 groups": {"ignore_groups": True, "groups": 2},
        "torch's initialisation": {"gain": None},
        "fan-in without groups, batch norm": {"ignore_groups": True, "norm": "batch"},
        "twice the right gain": {"gain": 2.0},
    }),
)  # fmt: skip

RESIDUAL = (
    *family("post-activation ResNet", residual, {}, {
        **gains(0.01, 30.0),
        "zero gamma": {"zero_gamma": True},
        "torch's initialisation": {"gain": None},
        "depth 14": {"depths": (7, 7)},
        "residual gain 10": {"residual_gain": 10.0},
        "residual gain 0.1": {"residual_gain": 0.1},
        "no skips": {"keep_skip": False},
        "no norm": {"norm": "none"},
        "no norm, gain 2": {"norm": "none", "gain": 2.0},
        "no norm, gain 4": {"norm": "none", "gain": 4.0},
        "no norm, torch's initialisation": {"norm": "none", "gain": None},
        "NaN in the branch of block 2": Injection("spoil weight", "blocks.2.branch.0", NAN),
        "negative bias behind block 3": Injection("shift", "blocks.3", -100.0),
        "zero weights in the branch of block 4":
            Injection("scale weights", "blocks.4.branch.3", 0.0),
    }),
    *family("pre-activation ResNet", residual, {"order": "pre"}, {
        **gains(0.01, 30.0),
        "depth 14": {"depths": (7, 7)},
        "residual gain 10": {"residual_gain": 10.0},
        "no skips": {"keep_skip": False},
        "no end norm": {"end_norm": False},
        "layer norm": {"norm": "layer"},
        "mean over the batch behind block 1": Injection("mean over batch", "blocks.1"),
        "weights x 1e3 in the branch of block 2":
            Injection("scale weights", "blocks.2.branch.2", 1e3),
        "stem x 1e-3": Injection("scale weights", "stem", 1e-3),
    }),
    *family("pre-activation ResNet without norm", residual,
            {"order": "pre", "norm": "none", "residual_gain": 0.2}, {
        "residual gain 1": {"residual_gain": 1.0},
        "residual gain 2": {"residual_gain": 2.0},
        "residual gain 5": {"residual_gain": 5.0},
        "residual gain 1, depth 16": {"residual_gain": 1.0, "depths": (8, 8)},
        "residual gain 1, depth 28": {"residual_gain": 1.0, "depths": (14, 14), "width": 8},
        "SkipInit": {"residual_gain": 0.0, "learned_gain": True},
        "SkipInit, no skips": {"residual_gain": 0.0, "learned_gain": True, "keep_skip": False},
        "SkipInit, depth 20": {"residual_gain": 0.0, "learned_gain": True, "depths": (10, 10)},
        "no skips, gain 1": {"residual_gain": 1.0, "keep_skip": False},
        "no skips": {"keep_skip": False},
        "stem x 1e-4": Injection("scale weights", "stem", 1e-4),
        "stem x 1e4": Injection("scale weights", "stem", 1e4),
    }),
    *family("ResNeXt", residual, {"groups": 4, "width": 16}, {
        "no norm": {"norm": "none"},
        "no norm, no skips, gain 0.5": {"norm": "none", "keep_skip": False, "gain": 0.5},
        "no norm, gain 0.3": {"norm": "none", "gain": 0.3},
        "no norm, gain 3": {"norm": "none", "gain": 3.0},
        "tanh": {"nonlinearity": "tanh"},
    }),
    *family("normaliser-free ResNet", normaliser_free, {}, {
        "alpha 1": {"alpha": 1.0},
        "alpha 3": {"alpha": 3.0},
        "alpha 1, no beta": {"alpha": 1.0, "use_beta": False},
        "alpha 3, no beta": {"alpha": 3.0, "use_beta": False},
        "alpha 10, no beta": {"alpha": 10.0, "use_beta": False},
        "no beta": {"use_beta": False},
        "no gamma": {"gamma": 1.0},
        "SkipInit": {"skipinit": 0.0},
        "SELU": {"nonlinearity": "selu", "gamma": 1.0},
        "not standardised, torch's initialisation": {"standardised": False},
        "not standardised, gain 4": {"standardised": False, "gain": 4.0},
        "not standardised, gain 10, alpha 1": {"standardised": False, "gain": 10.0, "alpha": 1.0},
        "no gamma, sigmoid": {"gamma": 1.0, "nonlinearity": "sigmoid"},
        "depth 24": {"depths": (12, 12), "width": 8},
    }),
    *family("Fixup", fixup, {}, {
        "no scaling": {"first_gain": 1.0, "second_gain": 1.0},
        "no scaling, head not zero":
            {"first_gain": 1.0, "second_gain": 1.0, "zero_head": False},
        "no scaling, depth 20": {"first_gain": 1.0, "second_gain": 1.0, "depth": 20},
        "gains 3": {"first_gain": 3.0, "second_gain": 3.0, "zero_head": False},
        "gains 2, depth 16":
            {"first_gain": 2.0, "second_gain": 2.0, "zero_head": False, "depth": 16},
        "all weights zero": {"first_gain": 1e-30},
        "head not zero": {"zero_head": False},
    }),
    *family("ReZero perceptron", residual_perceptron, {"depth": 16}, {
        "start 0.1": {"start": 0.1},
        "start 1": {"start": 1.0},
        "start 3": {"start": 3.0},
        "start 1, gain 0.3": {"start": 1.0, "gain": 0.3},
        "start 1, gain 2": {"start": 1.0, "gain": 2.0},
        "start 0, gain 5": {"gain": 5.0},
        "no skips": {"keep_skip": False},
        "no skips, start 1": {"keep_skip": False, "start": 1.0},
        "no skips, start 0.3": {"keep_skip": False, "start": 0.3},
        "start 1, layer norm": {"start": 1.0, "norm": "layer"},
        "start 1, layer norm, both ends": {"start": 1.0, "norm": "layer", "end_norm": "layer"},
        "start 100, layer norm": {"start": 100.0, "norm": "layer"},
        "start 1000, layer norm, both ends":
            {"start": 1000.0, "norm": "layer", "end_norm": "layer"},
        "stem x 1e-5": Injection("scale weights", "stem", 1e-5),
    }),
)  # fmt: skip

TOKENS = (
    *family("pre-norm transformer", transformer, {}, {
        **gains(0.1, 3.0, 10.0),
        "torch's initialisation": {"gain": None},
        "depth 10": {"depth": 10},
        "no norm": {"norm": "none"},
        "no norm, gain 3": {"norm": "none", "gain": 3.0},
        "no norm, gain 0.2": {"norm": "none", "gain": 0.2},
        "no norm, depth 10, gain 1.5": {"norm": "none", "gain": 1.5, "depth": 10},
        "no end norm": {"end_norm": False},
        "no 1/sqrt(d)": {"scale": 1.0},
        "no 1/sqrt(d), queries and keys x 8": {"scale": 1.0, "query_key_gain": 8.0},
        "queries and keys x 100": {"query_key_gain": 100.0},
        "no skips": {"keep_skip": False},
        "no skips, no norm": {"keep_skip": False, "norm": "none"},
        "embedding x 1e-3": {"embedding_gain": 1e-3},
        "embedding x 1e3": {"embedding_gain": 1e3},
        "NaN in the value of block 1": Injection("spoil weight", "blocks.1.mixing.value", NAN),
        "mean over the batch behind block 2": Injection("mean over batch", "blocks.2"),
        "head x 1e3": Injection("scale weights", "head", 1e3),
    }),
    *family("post-norm transformer", transformer, {"order": "post"}, {
        **gains(0.1, 4.0, 20.0),
        "depth 12": {"depth": 12},
        "no skips": {"keep_skip": False},
        "no 1/sqrt(d), queries and keys x 4": {"scale": 1.0, "query_key_gain": 4.0},
        "residual gain 10": {"residual_gain": 10.0},
        "zero gamma in block 2": Injection("equal weights", "blocks.2.norm_2", 0.0),
    }),
    *family("gated transformer, RMS norm", transformer,
            {"norm": "rms", "nonlinearity": "silu", "gated": True}, {
        **gains(0.1, 5.0),
        "normalised queries": {"normalise_queries": True},
        "normalised queries, queries and keys x 100":
            {"normalise_queries": True, "query_key_gain": 100.0},
        "no norm, gain 2": {"norm": "none", "gain": 2.0},
        "no norm, gain 4": {"norm": "none", "gain": 4.0},
        "no norm": {"norm": "none"},
        "no skips": {"keep_skip": False, "depth": 6},
        "ReZero, no norm": {"norm": "none", "residual_gain": 0.0, "learned_gain": True},
        "residual gain 100": {"residual_gain": 100.0},
    }),
    *family("MLP-Mixer", mixer, {}, {
        **gains(0.1, 10.0),
        "no norm": {"norm": "none"},
        "no norm, gain 2": {"norm": "none", "gain": 2.0},
        "no norm, gain 4": {"norm": "none", "gain": 4.0},
        "no norm, gain 0.1": {"norm": "none", "gain": 0.1},
        "no skips": {"keep_skip": False},
        "no skips, no norm": {"keep_skip": False, "norm": "none"},
        "no skips, no norm, torch's initialisation":
            {"keep_skip": False, "norm": "none", "gain": None},
        "residual gain 30, no end norm": {"residual_gain": 30.0, "end_norm": False},
        "LayerScale 1e-6": {"residual_gain": 1e-6, "learned_gain": True},
        "depth 10": {"depth": 10},
    }),
    *family("gMLP", spatial_gating, {}, {
        "gates begin at zero": {"gate_bias": 0.0},
        "gates begin at zero, weights not small": {"gate_bias": 0.0, "gate_gain": 1.0},
        "gates begin at 10": {"gate_bias": 10.0},
        "gates begin at 100, no norm": {"gate_bias": 100.0, "norm": "none"},
        "no norm": {"norm": "none"},
        "no norm, gain 3": {"norm": "none", "gain": 3.0},
        "no norm, gain 0.2": {"norm": "none", "gain": 0.2},
    }),
)  # fmt: skip

MOBILE = (
    *family("ConvNeXt", convnext, {}, {
        **gains(0.1, 10.0),
        "LayerScale 1": {"layer_scale": 1.0},
        "LayerScale 30": {"layer_scale": 30.0},
        "LayerScale 1000": {"layer_scale": 1000.0},
        "LayerScale 1000, no norm": {"layer_scale": 1000.0, "norm": "none"},
        "LayerScale 10, no norm": {"layer_scale": 10.0, "norm": "none"},
        "LayerScale 1000, no end norm": {"layer_scale": 1000.0, "end_norm": False},
        "no norm": {"norm": "none"},
        "no norm, LayerScale 1": {"norm": "none", "layer_scale": 1.0},
        "no skips": {"keep_skip": False},
        "no skips, LayerScale 1": {"keep_skip": False, "layer_scale": 1.0},
        "no skips, no norm, LayerScale 0.1":
            {"keep_skip": False, "norm": "none", "layer_scale": 0.1},
        "LayerScale 50, no norm": {"norm": "none", "layer_scale": 50.0},
    }),
    *family("MBConv", inverted_residual, {}, {
        **gains(0.01, 30.0),
        "no squeeze-and-excite": {"gated": False},
        "gates shut": {"gate_bias": -12.0},
        "gates open": {"gate_bias": 12.0},
        "no norm": {"norm": "none"},
        "no norm, gates shut": {"norm": "none", "gate_bias": -12.0, "keep_skip": False},
        "no norm, no skips": {"norm": "none", "keep_skip": False},
        "no norm, no skips, torch's initialisation":
            {"norm": "none", "keep_skip": False, "gain": None},
        "no norm, gain 2": {"norm": "none", "gain": 2.0},
        "no norm, gain 3": {"norm": "none", "gain": 3.0},
        "no norm, gain 0.3": {"norm": "none", "gain": 0.3},
        "no skips": {"keep_skip": False},
        "NaN in a projection": Injection("spoil weight", "blocks.1.project.0", NAN),
    }),
    *family("ShuffleNet", shuffle, {}, {
        "no norm": {"norm": "none"},
        "no norm, gain 0.3": {"norm": "none", "gain": 0.3},
        "no norm, gain 3": {"norm": "none", "gain": 3.0},
        "no norm, gain 8": {"norm": "none", "gain": 8.0},
        "no norm, torch's initialisation": {"norm": "none", "gain": None},
        "sigmoid": {"nonlinearity": "sigmoid"},
        "stem x 0": Injection("scale weights", "stem", 0.0),
    }),
)  # fmt: skip

BRANCHING = (
    *family("DenseNet", dense, {}, {
        **gains(0.01, 100.0),
        "no norm": {"norm": "none"},
        "no norm, gain 3": {"norm": "none", "gain": 3.0},
        "no norm, gain 6": {"norm": "none", "gain": 6.0},
        "no norm, gain 0.1": {"norm": "none", "gain": 0.1},
        "no norm, gain 0.01": {"norm": "none", "gain": 0.01},
        "no norm, sigmoid": {"norm": "none", "nonlinearity": "sigmoid"},
        "NaN in layer 4": Injection("spoil weight", "blocks.4.conv", NAN),
    }),
    *family("Inception", inception, {}, {
        "no norm": {"norm": "none"},
        "no norm, gain 0.2": {"norm": "none", "gain": 0.2},
        "no norm, gain 4": {"norm": "none", "gain": 4.0},
        "no norm, gain 10": {"norm": "none", "gain": 10.0},
        "1x1 branches stop the gradient": {"detached": True},
        "5x5 branches x 1000": {"scales": (1.0, 1.0, 1000.0)},
        "5x5 branches x 1000, no norm": {"scales": (1.0, 1.0, 1000.0), "norm": "none"},
        "5x5 branches x 10, no norm": {"scales": (1.0, 1.0, 10.0), "norm": "none"},
        "sigmoid, no norm": {"norm": "none", "nonlinearity": "sigmoid"},
        "gradient stopped behind the blocks": Injection("detach", "blocks"),
    }),
    *family("highway", highway, {}, {
        **gains(0.1, 5.0),
        "gates open": {"gate_bias": 10.0},
        "gates open, gain 0.3": {"gate_bias": 10.0, "gain": 0.3},
        "gates shut": {"gate_bias": -10.0},
        "ReLU": {"nonlinearity": "relu"},
        "ReLU, gates open, gain 3": {"nonlinearity": "relu", "gate_bias": 10.0, "gain": 3.0},
        "stem x 1e-5": Injection("scale weights", "stem", 1e-5),
        "stem x 1e4": Injection("scale weights", "stem", 1e4),
    }),
    *family("gated linear units", gated_linear, {"gain": 2.0}, {
        "gain 1": {"gain": 1.0},
        "gain 0.4": {"gain": 0.4},
        "gain 4": {"gain": 4.0},
        "torch's initialisation": {"gain": None},
        "bilinear": {"bilinear": True, "gain": 1.0},
        "bilinear, gain 0.5": {"bilinear": True, "gain": 0.5},
        "bilinear, gain 1.6": {"bilinear": True, "gain": 1.6},
        "bilinear, layer norm": {"bilinear": True, "norm": "layer"},
        "layer norm, gain 0.05": {"norm": "layer", "gain": 0.05},
    }),
    *family("maxout", maxout, {}, {
        **gains(0.1, 0.5, 2.0, 4.0, 10.0),
        "torch's initialisation": {"gain": None},
        "depth 25": {"depth": 25},
    }),
    *family("U-Net", unet, {}, {
        "no norm": {"norm": "none"},
        "no skips": {"keep_skip": False},
        "no skips, no norm, torch's initialisation":
            {"keep_skip": False, "norm": "none", "gain": None},
        "no norm, gain 0.3": {"norm": "none", "gain": 0.3},
        "no norm, gain 4": {"norm": "none", "gain": 4.0},
        "sigmoid, no norm": {"norm": "none", "nonlinearity": "sigmoid"},
        "dead bias in the last": Injection("set bias", "up_1.3", -100.0),
        "dead bias in the middle": Injection("set bias", "middle.1", -100.0),
    }),
)  # fmt: skip

RECURRENT = (
    *family("recurrent, tanh", recurrent, {}, {
        "64 steps": {"inputs": 1, "width": 32},
        "64 steps, gain 0.5": {"inputs": 1, "width": 32, "gain": 0.5},
        "64 steps, gain 1.5": {"inputs": 1, "width": 32, "gain": 1.5},
        "gain 0.1": {"gain": 0.1},
        "gain 3": {"gain": 3.0},
        "gain 30": {"gain": 30.0},
        "input gain 1e-4": {"input_gain": 1e-4},
        "input gain 1000": {"input_gain": 1000.0},
        "torch's initialisation": {"gain": None},
        "layer norm": {"norm": True},
    }),
    *family("recurrent, ReLU", recurrent, {"nonlinearity": "relu"}, {
        "gain 2": {"gain": 2.0},
        "gain 4": {"gain": 4.0},
        "gain 20": {"gain": 20.0},
        "16 steps, gain 2": {"inputs": 4, "gain": 2.0},
        "64 steps, gain 2": {"inputs": 1, "width": 32, "gain": 2.0},
        "64 steps, gain 0.5": {"inputs": 1, "width": 32, "gain": 0.5},
        "16 steps, gain 0.3": {"inputs": 4, "gain": 0.3},
    }),
    *family("LSTM and GRU", gated_recurrent, {}, {
        "GRU": {"kind": "gru"},
        "GRU, three layers": {"kind": "gru", "layers": 3},
        "gain 30": {"gain": 30.0},
        "gain 0.01": {"gain": 0.01},
        "all gates open": {"bias": 5.0},
        "all gates shut": {"bias": -5.0},
        "all gates shut, three layers": {"bias": -5.0, "layers": 3},
    }),
)  # fmt: skip

NETWORKS = (
    *MULTILAYER,
    *CONVOLUTIONAL,
    *RESIDUAL,
    *TOKENS,
    *MOBILE,
    *BRANCHING,
    *RECURRENT,
)
