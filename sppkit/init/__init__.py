"""Initialisations: functions that change the weights of a module in place.

They are what `sppkit check --try-fix` applies to a copy of a network, and can be used by hand:

    with sppkit.init.Change(model, batch) as change:
        sppkit.init.initialize_weights(model, "he")
        sppkit.init.layer_sequential_unit_variance(model, batch, orthonormal=False)
    print(change)  # every block and layer, before and after
    change.undo()

`layers` says what a weighted layer is, `trial` runs a model aside, `sequential` rescales layer by
layer, `branch_ends` and `normalizer_free_plan` read the trace of a pass; others are methods.
"""

from sppkit.init.attention import QueryProjection, query_projections, scale_attention
from sppkit.init.change import Change
from sppkit.init.in_front import nonlinearities_in_front
from sppkit.init.layers import fan_in, fan_out, weighted_layers
from sppkit.init.normalizer_free import (
    Conversion,
    ResidualBranchScale,
    convert_to_normalizer_free,
)
from sppkit.init.normalizer_free_plan import StandardizedLayer
from sppkit.init.scaling import scale_weights
from sppkit.init.schemes import initialize_weights, reset_biases
from sppkit.init.sequential import LayerVariance
from sppkit.init.unit_variance import layer_sequential_unit_variance
from sppkit.init.variance_preserving import preserve_variance
from sppkit.init.weight_standardization import ScaledWeightStandardization, standardize_weights

__all__ = [
    "Change",
    "Conversion",
    "LayerVariance",
    "QueryProjection",
    "ResidualBranchScale",
    "ScaledWeightStandardization",
    "StandardizedLayer",
    "convert_to_normalizer_free",
    "fan_in",
    "fan_out",
    "initialize_weights",
    "layer_sequential_unit_variance",
    "nonlinearities_in_front",
    "preserve_variance",
    "query_projections",
    "reset_biases",
    "scale_attention",
    "scale_weights",
    "standardize_weights",
    "weighted_layers",
]
