"""The layers that the reference networks are made of, and that torch does not have.

They are public: take them for networks of your own. Layers that use another weight than the stored
one say so by `effective_weight()`, which the recorder reads as a signal of its own.

Scaled weight standardisation and nonlinearities with their gain belong together: the first keeps
the mean of the weights, and so of the signal, at zero; the second its variance at one.
"""

from sppkit.models.layers.alpha_dropout import SelfNormalizingActivation
from sppkit.models.layers.binary_activation import ChannelBias, RPReLU, RSign, approximate_sign
from sppkit.models.layers.binary_convolution import (
    BinaryConv2d,
    BinaryScaledStandardizedConv2d,
    binarize,
)
from sppkit.models.layers.data_dependent_bias import DataDependentBias2d
from sppkit.models.layers.dynamic_tanh import DynamicTanh
from sppkit.models.layers.eun_convolution import EUNConv2d
from sppkit.models.layers.gains import LayerScale, ResidualGain
from sppkit.models.layers.hadamard import HadamardTransform, hadamard_matrix, partial_identity_
from sppkit.models.layers.magnitude_preserving import (
    MagnitudePreservingSum,
    magnitude_preserving_product,
    magnitude_preserving_sum,
)
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
    "BinaryConv2d",
    "BinaryScaledStandardizedConv2d",
    "ChannelBias",
    "DataDependentBias2d",
    "DynamicTanh",
    "EUNConv2d",
    "GainedNonlinearity",
    "HadamardTransform",
    "LayerScale",
    "MagnitudePreservingSum",
    "RPReLU",
    "RSign",
    "Residual",
    "ResidualGain",
    "ScaledStandardizedConv2d",
    "SelfNormalizingActivation",
    "SqueezeExcite",
    "StochasticDepth",
    "WeightStandardizedConv2d",
    "approximate_sign",
    "binarize",
    "hadamard_matrix",
    "magnitude_preserving_product",
    "magnitude_preserving_sum",
    "make_nonlinearity",
    "normalize_weights",
    "partial_identity_",
    "standardize_filters",
    "stochastic_depth_rates",
]
