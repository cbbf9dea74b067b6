"""Every rule of the early warning, in the order of their codes."""

from sppkit.early_warning.courses import ActivationCourse, GradientCourse, ParameterCourse
from sppkit.early_warning.numbers import LittleHeadroom, NumbersNotFinite
from sppkit.early_warning.outputs import DyingUnits, LargeLogits
from sppkit.early_warning.rule import WarningRule
from sppkit.early_warning.steps import ClippingPressure, LargeUpdates, NormalisationDrift

WARNING_RULES: tuple[WarningRule, ...] = (
    ParameterCourse(),
    ActivationCourse(),
    GradientCourse(),
    LargeUpdates(),
    ClippingPressure(),
    NormalisationDrift(),
    DyingUnits(),
    LargeLogits(),
    LittleHeadroom(),
    NumbersNotFinite(),
)
