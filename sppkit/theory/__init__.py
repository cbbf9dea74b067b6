"""What a signal should look like: gains of nonlinearities, ladders, mean-field maps.

Every number is computed (quadrature or a closed form), none is copied from a published table, so
that a ladder and the gain it needs can never disagree by somebody else's sampling error.

Everything here is an expectation over random weights, for wide layers, independent gaussian input
and no loss at the borders (circular padding, or see `padding_factor`).
"""

from sppkit.theory.entering_variance import entering_variances
from sppkit.theory.ladders import (
    SMALLEST_ALPHA,
    Ladder,
    NormalizerFreeLadder,
    normalizer_free_ladder,
    postactivation_ladder,
    preactivation_ladder,
    summed_ladder,
)
from sppkit.theory.mean_field import (
    MeanField,
    PlainLayer,
    distance_map,
    gradient_factor,
    length_map,
    mean_field,
    plain_ladder,
)
from sppkit.theory.moments import Moments, nonlinearity_gain, nonlinearity_moments
from sppkit.theory.nonlinearities import (
    NONLINEARITIES,
    SELU_ALPHA,
    SELU_SCALE,
    named_nonlinearity,
)
from sppkit.theory.padding import padding_factor

__all__ = [
    "NONLINEARITIES",
    "SELU_ALPHA",
    "SELU_SCALE",
    "SMALLEST_ALPHA",
    "Ladder",
    "MeanField",
    "Moments",
    "NormalizerFreeLadder",
    "PlainLayer",
    "distance_map",
    "entering_variances",
    "gradient_factor",
    "length_map",
    "mean_field",
    "named_nonlinearity",
    "nonlinearity_gain",
    "nonlinearity_moments",
    "normalizer_free_ladder",
    "padding_factor",
    "plain_ladder",
    "postactivation_ladder",
    "preactivation_ladder",
    "summed_ladder",
]
