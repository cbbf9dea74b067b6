"""The layers that the reference networks are made of, and that torch does not have.

They are public: take them for networks of your own. Layers that use another weight than the stored
one say so by `effective_weight()`, which the recorder reads as a signal of its own.

Scaled weight standardisation and nonlinearities with their gain belong together: the first keeps
the mean of the weights, and so of the signal, at zero; the second its variance at one.
"""

from sppkit.models.layers.alpha_dropout import SelfNormalizingActivation
from sppkit.models.layers.gains import LayerScale, ResidualGain
from sppkit.models.layers.magnitude_preserving import magnitude_preserving_sum
from sppkit.models.layers.nonlinearities import GainedNonlinearity, make_nonlinearity
from sppkit.models.layers.residual import Residual
from sppkit.models.layers.scaled_standardization import (
    ScaledStandardizedConv2d,
    standardize_filters,
)
from sppkit.models.layers.squeeze_excite import SqueezeExcite
from sppkit.models.layers.stochastic_depth import StochasticDepth, stochastic_depth_rates
from sppkit.models.layers.weight_norm import normalize_weights
from sppkit.models.layers.weight_standardization import WeightStandardizedConv2d

__all__ = [
    "GainedNonlinearity",
    "LayerScale",
    "Residual",
    "ResidualGain",
    "ScaledStandardizedConv2d",
    "SelfNormalizingActivation",
    "SqueezeExcite",
    "StochasticDepth",
    "WeightStandardizedConv2d",
    "magnitude_preserving_sum",
    "make_nonlinearity",
    "normalize_weights",
    "standardize_filters",
    "stochastic_depth_rates",
]
