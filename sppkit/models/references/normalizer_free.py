"""Normaliser-free networks: NF-ResNets, NF-RegNets and NFNets."""

from functools import partial

from sppkit.models.references.reference import Reference, variant_of
from sppkit.models.references.twins import RESNET20, RESNET_DIGITS

_CHARACTERIZING = (
    "Characterizing signal propagation to close the performance gap in unnormalized ResNets, "
    "Brock, De, Smith, 2021, arXiv 2101.08692"
)
_HIGH_PERFORMANCE = (
    "High-performance large-scale image recognition without normalization, Brock, De, Smith, "
    "Simonyan, 2021, arXiv 2102.06171"
)
_LADDER = "with skip_gain=1: variance 1 + 0.04 i at block i of each stage, squared mean near 0"
_POOLED = (
    "with skip_gain=1: within a stage up to 4 % more per block; the averaging skip path before it "
    "leaves a quarter of white noise, up to a half of smooth pictures"
)

_NF_RESNET50 = Reference(
    name="nf_resnet50",
    family="NF-ResNet",
    build="sppkit.models.nf_resnet:nf_resnet",
    arguments={"variant": "50"},
    paper=_CHARACTERIZING,
    summary="bottlenecks, stages of 3 4 6 3",
    expectation=_LADDER,
    input_size=(3, 128, 128),
    parameters=25_557_048,
)

_NF_REGNET_B0 = Reference(
    name="nf_regnet_b0",
    family="NF-RegNet",
    build="sppkit.models.nf_regnet:nf_regnet",
    arguments={"variant": "b0"},
    paper=_CHARACTERIZING,
    summary="stages of 1 3 6 6; tested at 224",
    expectation=_POOLED,
    input_size=(3, 192, 192),
    parameters=8_595_372,
)

_NFNET_F0 = Reference(
    name="nfnet_f0",
    family="NFNet",
    build="sppkit.models.nfnet:nfnet",
    arguments={"variant": "f0"},
    paper=_HIGH_PERFORMANCE,
    summary="stages of 1 2 6 3; tested at 256",
    expectation=_POOLED,
    input_size=(3, 192, 192),
    parameters=71_489_284,
)


def _of_size(
    family: Reference,
    prefix: str,
    variant: str,
    parameters: int,
    summary: str,
    side: int,
    **arguments: object,
) -> Reference:
    """Describe a network that is called by its size, for square images."""
    return variant_of(
        family,
        f"{prefix}_{variant.replace('+', '_plus')}",
        summary,
        parameters,
        {"variant": variant, **arguments},
        input_size=(1 if variant == "digits" else 3, side, side),
    )


_nf_resnet = partial(variant_of, _NF_RESNET50)
_nf_regnet = partial(_of_size, _NF_REGNET_B0, "nf_regnet")
_nfnet = partial(_of_size, _NFNET_F0, "nfnet")

NORMALIZER_FREE: tuple[Reference, ...] = (
    _nf_resnet("nf_resnet20", "twin of bn_resnet20", 272_771, RESNET20, input_size=(3, 32, 32)),
    _nf_resnet(
        "nf_resnet_digits",
        "twin of bn_resnet_digits, for 8x8",
        43_230,
        RESNET_DIGITS,
        input_size=(1, 8, 8),
    ),
    _nf_resnet(
        "nf_resnet26_cifar",
        "bottlenecks, stages of 2 2 2 2, a quarter of the width, small stem",
        882_402,
        {"variant": "26-cifar", "classes": 10, "width": 16},
        input_size=(3, 32, 32),
    ),
    _nf_resnet("nf_resnet26", "bottlenecks, stages of 2 2 2 2", 15_995_184, {"variant": "26"}),
    _NF_RESNET50,
    _nf_resnet("nf_resnet101", "bottlenecks, 3 4 23 3", 44_549_193, {"variant": "101"}),
    _nf_resnet("nf_resnet152", "bottlenecks, 3 8 36 3", 60_192_858, {"variant": "152"}),
    _nf_resnet("nf_resnet200", "bottlenecks, 3 24 36 3", 64_673_898, {"variant": "200"}),
    _nf_resnet("nf_resnet288", "bottlenecks, 24 24 24 24", 146_460_552, {"variant": "288"}),
    _nf_resnet(
        "nf_seresnet50", "with squeeze-and-excite, ratio 0.25", 35_635_704, {"squeeze_excite": 0.25}
    ),
    _nf_resnet(
        "nf_seresnet101",
        "with squeeze-and-excite, ratio 0.25",
        63_562_505,
        {"variant": "101", "squeeze_excite": 0.25},
    ),
    _nf_resnet(
        "nf_seresnet288",
        "with squeeze-and-excite, ratio 0.25",
        213_422_472,
        {"variant": "288", "squeeze_excite": 0.25},
    ),
    _nf_regnet("cifar", 232_108, "stages of 1 2 3, small stem", 32, classes=10),
    _nf_regnet("digits", 27_437, "stages of 1 2, for 8x8", 8, classes=10, in_channels=1),
    _NF_REGNET_B0,
    _nf_regnet("b1", 10_019_208, "stages of 2 4 7 7; tested at 256", 224),
    _nf_regnet("b2", 13_785_904, "stages of 2 4 8 8; tested at 272", 240),
    _nf_regnet("b3", 18_136_667, "stages of 2 5 9 9; tested at 320", 288),
    _nf_regnet("b4", 29_315_830, "stages of 2 6 11 11; tested at 384", 320),
    _nf_regnet("b5", 48_707_138, "stages of 3 7 14 14; tested at 456", 384),
    _nfnet("cifar", 248_162, "stages of 1 2 3 2, small stem", 32, classes=10),
    _nfnet("digits", 15_309, "stages of 1 2, for 8x8", 8, classes=10, in_channels=1),
    _NFNET_F0,
    _nfnet("f1", 132_634_256, "2 times the depth; tested at 320", 224),
    _nfnet("f2", 193_779_228, "3 times the depth; tested at 352", 256),
    _nfnet("f3", 254_924_200, "4 times the depth; tested at 416", 320),
    _nfnet("f4", 316_069_172, "5 times the depth; tested at 512", 384),
    _nfnet("f5", 377_214_144, "6 times the depth; tested at 544", 416),
    _nfnet("f6", 438_359_116, "7 times the depth; tested at 576", 448),
    _nfnet("f7", 499_504_088, "8 times the depth; tested at 608", 480),
    _nfnet("f0+", 118_824_516, "wider", 192),
    _nfnet("f1+", 220_357_008, "wider", 224),
    _nfnet("f2+", 321_889_500, "wider", 256),
    _nfnet("f3+", 423_421_992, "wider", 320),
    _nfnet("f4+", 524_954_484, "wider", 384),
    _nfnet("f5+", 626_486_976, "wider", 416),
    _nfnet("f6+", 728_019_468, "wider", 448),
    _nfnet("f7+", 829_551_960, "wider", 480),
)
