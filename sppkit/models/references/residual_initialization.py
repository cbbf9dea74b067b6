"""Residual networks that train without normalisation by how they start: SkipInit and Fixup."""

from sppkit.models.references.reference import Reference

_SKIPINIT = (
    "Batch normalization biases residual blocks towards the identity function in deep networks, "
    "De, Smith, 2020, arXiv 2002.10444"
)
_FIXUP = (
    "Fixup initialization: residual learning without normalization, Zhang, Dauphin, Ma, 2019, "
    "arXiv 1901.09321"
)
_LARGE, _SMALL, _DIGITS = (3, 128, 128), (3, 32, 32), (1, 8, 8)
_SMALL_ARGUMENTS: dict[str, object] = {"variant": "20", "classes": 10, "width": 16}
_DIGITS_ARGUMENTS: dict[str, object] = {
    "variant": "digits",
    "classes": 10,
    "in_channels": 1,
    "width": 16,
}


def _skipinit(
    name: str,
    summary: str,
    parameters: int,
    arguments: dict[str, object],
    input_size: tuple[int, ...] = _LARGE,
) -> Reference:
    return Reference(
        name=name,
        family="SkipInit",
        build="sppkit.models.skipinit_resnet:skipinit_resnet",
        arguments=arguments,
        paper=_SKIPINIT,
        summary=summary,
        expectation="flat within stages: branches are silent; with skip_gain=1 the second moment "
        "doubles from block to block",
        input_size=input_size,
        parameters=parameters,
    )


def _fixup(
    name: str,
    summary: str,
    parameters: int,
    arguments: dict[str, object],
    input_size: tuple[int, ...] = _LARGE,
) -> Reference:
    return Reference(
        name=name,
        family="Fixup",
        build="sppkit.models.fixup_resnet:fixup_resnet",
        arguments=arguments,
        paper=_FIXUP,
        summary=summary,
        expectation="flat within stages: the last convolution of each branch is zero",
        input_size=input_size,
        parameters=parameters,
    )


RESIDUAL_INITIALIZATION: tuple[Reference, ...] = (
    _skipinit("skipinit_resnet20", "twin of bn_resnet20", 271_955, _SMALL_ARGUMENTS, _SMALL),
    _skipinit("skipinit_resnet_digits", "for 8x8", 42_958, _DIGITS_ARGUMENTS, _DIGITS),
    _skipinit("skipinit_resnet50", "stages of 3 4 6 3", 25_530_424, {"variant": "50"}),
    _skipinit("skipinit_resnet101", "stages of 3 4 23 3", 44_496_457, {"variant": "101"}),
    _skipinit("skipinit_resnet152", "stages of 3 8 36 3", 60_117_082, {"variant": "152"}),
    _fixup("fixup_resnet20", "twin of resnet20", 271_209, _SMALL_ARGUMENTS, _SMALL),
    _fixup("fixup_resnet_digits", "for 8x8", 42_736, _DIGITS_ARGUMENTS, _DIGITS),
    _fixup("fixup_resnet50", "stages of 3 4 6 3", 25_504_026, {"variant": "50"}),
    _fixup("fixup_resnet101", "stages of 3 4 23 3", 44_444_049, {"variant": "101"}),
    _fixup("fixup_resnet152", "stages of 3 8 36 3", 60_041_736, {"variant": "152"}),
)
