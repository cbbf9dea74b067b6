"""Every rule, in the order of their codes."""

from sppkit.rules.backward import (
    BoundedLogits,
    ExplodingGradient,
    FirstLoss,
    Imbalance,
    NoGradient,
    VanishingGradient,
)
from sppkit.rules.coverage import BatchDependence, Coverage
from sppkit.rules.depth_scale import DepthScale
from sppkit.rules.forward import (
    Bottleneck,
    DropoutNoise,
    ExponentialDrift,
    ForwardDrift,
    GainOfPlace,
    MeanShift,
    SeluDomain,
)
from sppkit.rules.numerics import Headroom, NotFinite
from sppkit.rules.recurrence import ExplodingOverCalls
from sppkit.rules.residual import ResidualBranch, ZeroInitialisedBranches
from sppkit.rules.rule import Rule
from sppkit.rules.units import DeadUnits, EqualUnits, OneAnswer, SaturatedAttention, Saturation
from sppkit.rules.weighing import WeighedEvidence
from sppkit.rules.weights import GroupsIgnored, LargeWeights, UnknownInitialisation

RULES: tuple[Rule, ...] = (
    WeighedEvidence(),
    ForwardDrift(),
    GainOfPlace(),
    ExponentialDrift(),
    MeanShift(),
    ResidualBranch(),
    ZeroInitialisedBranches(),
    SeluDomain(),
    DepthScale(),
    DropoutNoise(),
    Bottleneck(),
    VanishingGradient(),
    ExplodingGradient(),
    Imbalance(),
    FirstLoss(),
    BoundedLogits(),
    ExplodingOverCalls(),
    NoGradient(),
    UnknownInitialisation(),
    GroupsIgnored(),
    LargeWeights(),
    NotFinite(),
    Headroom(),
    DeadUnits(),
    Saturation(),
    OneAnswer(),
    EqualUnits(),
    SaturatedAttention(),
    Coverage(),
    BatchDependence(),
)
