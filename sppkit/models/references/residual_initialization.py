"""Residual networks that train without normalisation by how they start: SkipInit and Fixup."""

from functools import partial

from sppkit.models.references.reference import Reference, variant_of
from sppkit.models.references.twins import RESNET20, RESNET_DIGITS

_SKIPINIT = (
    "Batch normalization biases residual blocks towards the identity function in deep networks, "
    "De, Smith, 2020, arXiv 2002.10444"
)
_FIXUP = (
    "Fixup initialization: residual learning without normalization, Zhang, Dauphin, Ma, 2019, "
    "arXiv 1901.09321"
)

_SKIPINIT50 = Reference(
    name="skipinit_resnet50",
    family="SkipInit",
    build="sppkit.models.skipinit_resnet:skipinit_resnet",
    arguments={"variant": "50"},
    paper=_SKIPINIT,
    summary="stages of 3 4 6 3",
    expectation="flat within stages: branches are silent; with skip_gain=1 the second moment "
    "doubles from block to block",
    input_size=(3, 128, 128),
    parameters=25_530_424,
)

_FIXUP50 = Reference(
    name="fixup_resnet50",
    family="Fixup",
    build="sppkit.models.fixup_resnet:fixup_resnet",
    arguments={"variant": "50"},
    paper=_FIXUP,
    summary="stages of 3 4 6 3",
    expectation="flat within stages: the last convolution of each branch is zero",
    input_size=(3, 128, 128),
    parameters=25_504_026,
)

_skipinit = partial(variant_of, _SKIPINIT50)
_fixup = partial(variant_of, _FIXUP50)

RESIDUAL_INITIALIZATION: tuple[Reference, ...] = (
    _skipinit(
        "skipinit_resnet20", "twin of bn_resnet20", 271_955, RESNET20, input_size=(3, 32, 32)
    ),
    _skipinit("skipinit_resnet_digits", "for 8x8", 42_958, RESNET_DIGITS, input_size=(1, 8, 8)),
    _SKIPINIT50,
    _skipinit("skipinit_resnet101", "stages of 3 4 23 3", 44_496_457, {"variant": "101"}),
    _skipinit("skipinit_resnet152", "stages of 3 8 36 3", 60_117_082, {"variant": "152"}),
    _fixup("fixup_resnet20", "twin of resnet20", 271_209, RESNET20, input_size=(3, 32, 32)),
    _fixup("fixup_resnet_digits", "for 8x8", 42_736, RESNET_DIGITS, input_size=(1, 8, 8)),
    _FIXUP50,
    _fixup("fixup_resnet101", "stages of 3 4 23 3", 44_444_049, {"variant": "101"}),
    _fixup("fixup_resnet152", "stages of 3 8 36 3", 60_041_736, {"variant": "152"}),
)
