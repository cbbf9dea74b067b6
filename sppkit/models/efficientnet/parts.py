"""What the variants of an EfficientNet are made of, by name."""

from dataclasses import dataclass, replace
from typing import Literal, get_args

from sppkit.models.choices import require_one_of

Norm = Literal["batch", "dynamic_tanh"]
ConvolutionKind = Literal[
    "plain", "standardized", "scaled_standardized", "scaled_standardized_unbiased"
]
ActivationGain = Literal["none", "second moment", "deviation"]
Initialization = Literal["fan_out", "fan_in"]
Merge = Literal["sum", "magnitude_preserving", "learned_magnitude_preserving", "scaled"]

_CHOICES = {
    "norm": get_args(Norm),
    "convolution": get_args(ConvolutionKind),
    "squeeze_convolution": get_args(ConvolutionKind),
    "initialization": get_args(Initialization),
    "activation_gain": get_args(ActivationGain),
    "merge": get_args(Merge),
}


@dataclass(frozen=True)
class Parts:
    """What an EfficientNet is made of, and how it begins.

    Attributes:
        norm: behind every convolution outside squeeze-and-excite: batch normalisation, dynamic
            tanh, or None.
        slope: initial slope of dynamic tanh.
        convolution: "plain"; "standardized" (weight standardisation, no division by the root of the
            fan-in); "scaled_standardized" (DeepMind's); or the same with the variance of N - 1,
            which takes 1/9 of a depthwise 3x3's.
        squeeze_convolution: the same inside squeeze-and-excite; None: as outside.
        initialization: "fan_out", N(0, 2 / (k² filters)), which does not count groups and so makes
            depthwise weights smaller by the root of the channels; or "fan_in", N(0, 1 / fan-in).
        classifier_by_fan_in: whether the classifier is N(0, 1 / fan-in) too, or N(0, 0.01²).
        activation: a name of `sppkit.theory.NONLINEARITIES`.
        activation_gain: "none"; "second moment", 1 / sqrt(E[g²]); "deviation", 1 / sqrt(Var[g]).
        squeeze_gain: what the gate of squeeze-and-excite, 1/2 at first, is multiplied by.
        magnitude_preserving_gate: whether the gate is applied by `magnitude_preserving_product`.
        merge: how branch and skip path meet. "scaled" is the normalizer-free x + alpha f(g(x) /
            beta), with the activation in front of the block.
        alpha: scale of the branch of "scaled".
        scale_transitions: whether blocks without a skip path are multiplied by alpha as well.
        reset: the betas of "scaled", see `sppkit.theory.entering_variances`.
    """

    norm: Norm | None = None
    slope: float = 0.5
    convolution: ConvolutionKind = "plain"
    squeeze_convolution: ConvolutionKind | None = None
    initialization: Initialization = "fan_out"
    classifier_by_fan_in: bool = False
    activation: str = "silu"
    activation_gain: ActivationGain = "none"
    squeeze_gain: float = 1.0
    magnitude_preserving_gate: bool = False
    merge: Merge = "sum"
    alpha: float = 0.2
    scale_transitions: bool = False
    reset: Literal["deepmind", "uncredited", "never"] = "never"

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            if (value := getattr(self, name)) is not None:
                require_one_of(name, value, choices)


_SELU = Parts(activation="selu", initialization="fan_in")
_MAGNITUDE = replace(_SELU, magnitude_preserving_gate=True, merge="magnitude_preserving")
_UN = Parts(
    activation_gain="second moment",
    squeeze_convolution="scaled_standardized_unbiased",
    squeeze_gain=2.0,
    merge="scaled",
    scale_transitions=True,
)

VARIANTS: dict[str, Parts] = {
    "bn": Parts(norm="batch"),
    "none": Parts(),
    "sn": replace(_SELU, classifier_by_fan_in=True),
    "sn_mp": _MAGNITUDE,
    "sn_mp_learned": replace(_MAGNITUDE, merge="learned_magnitude_preserving"),
    "un": _UN,
    "un_repaired": replace(
        _UN,
        convolution="scaled_standardized",
        scale_transitions=False,
        activation_gain="deviation",
    ),
    "dyt": Parts(norm="dynamic_tanh"),
    "dyt_sn": replace(_SELU, norm="dynamic_tanh", slope=1.0),
    "ws": Parts(convolution="standardized"),
    "ws_sn": Parts(convolution="standardized", activation="selu"),
    "ws_se_sn": replace(_SELU, squeeze_convolution="standardized", classifier_by_fan_in=True),
    "sws": Parts(
        convolution="scaled_standardized",
        activation_gain="deviation",
        squeeze_gain=2.0,
        merge="scaled",
        reset="uncredited",
    ),
}
"""The variants by name: published ones, their repairs, and ours."""


def find_parts(variant: str, **changes: object) -> Parts:
    """Return a variant's parts, changed where a value is not None.

    Raises:
        ValueError: no such variant; the message lists all.
    """
    require_one_of("variant", variant, VARIANTS)
    given = {name: value for name, value in changes.items() if value is not None}
    return replace(VARIANTS[variant], **given)  # type: ignore[arg-type]
