"""Initialisations: functions that change the weights of a module in place.

They are what `sppkit check --try-fix` applies to a copy of a network, and can be used by hand:

    sppkit.init.initialize_by_fan_in(model, "relu")
    sppkit.init.layer_sequential_unit_variance(model, batch)
"""

from sppkit.init.attention import QueryProjection, query_projections, scale_attention
from sppkit.init.fan_in import initialize_by_fan_in, reset_biases
from sppkit.init.layers import fan_in, weighted_layers
from sppkit.init.scaling import scale_weights
from sppkit.init.unit_variance import LayerVariance, layer_sequential_unit_variance
from sppkit.init.weight_standardization import ScaledWeightStandardization, standardize_weights

__all__ = [
    "LayerVariance",
    "QueryProjection",
    "ScaledWeightStandardization",
    "fan_in",
    "initialize_by_fan_in",
    "layer_sequential_unit_variance",
    "query_projections",
    "reset_biases",
    "scale_attention",
    "scale_weights",
    "standardize_weights",
    "weighted_layers",
]
