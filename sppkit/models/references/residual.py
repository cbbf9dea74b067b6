"""Residual networks with batch normalisation, and their self-normalizing twin."""

from functools import partial

from sppkit.models.references.papers import SELF_NORMALIZING
from sppkit.models.references.reference import Reference, variant_of
from sppkit.models.references.twins import RESNET20, RESNET_DIGITS

_DEEP_RESIDUAL = (
    "Deep residual learning for image recognition, He, Zhang, Ren, Sun, 2015, arXiv 1512.03385"
)
_IDENTITY_MAPPINGS = (
    "Identity mappings in deep residual networks, He, Zhang, Ren, Sun, 2016, arXiv 1603.05027"
)

_BN_RESNET50 = Reference(
    name="bn_resnet50",
    family="ResNet, pre-activation",
    build="sppkit.models.bn_resnet:bn_resnet",
    arguments={"variant": "50"},
    paper=_IDENTITY_MAPPINGS,
    summary="bottlenecks, stages of 3 4 6 3",
    expectation="variance (1 - 1/pi)(1 + i), squared mean (1 + i)/pi at block i of each stage; "
    "with order=relu-bn variance 1 + i, squared mean 0",
    input_size=(3, 128, 128),
    parameters=25_549_352,
)

_RESNET50 = variant_of(
    _BN_RESNET50,
    "resnet50",
    "bottlenecks, torchvision's",
    25_557_032,
    {"order": "post"},
    family="ResNet, post-activation",
    paper=_DEEP_RESIDUAL,
    expectation="variance 0.68, 1.00, 1.34, ... and squared mean 0.32, 0.69, 1.09, ... over "
    "the blocks of each stage; at branch ends 1",
)

_bn_resnet = partial(variant_of, _BN_RESNET50)
_resnet = partial(variant_of, _RESNET50)

RESIDUAL: tuple[Reference, ...] = (
    _bn_resnet(
        "bn_resnet20",
        "basic blocks, 3 stages of 3, batch normalisation; order= bn-relu, relu-bn or post",
        272_538,
        RESNET20,
        input_size=(3, 32, 32),
    ),
    _bn_resnet(
        "bn_resnet_digits",
        "basic blocks, 2 stages of 2, for 8x8",
        43_130,
        RESNET_DIGITS,
        input_size=(1, 8, 8),
    ),
    _bn_resnet("bn_resnet26", "bottlenecks, stages of 2 2 2 2", 15_987_496, {"variant": "26"}),
    _BN_RESNET50,
    _bn_resnet("bn_resnet101", "bottlenecks, 3 4 23 3", 44_541_480, {"variant": "101"}),
    _bn_resnet("bn_resnet152", "bottlenecks, 3 8 36 3", 60_185_128, {"variant": "152"}),
    _bn_resnet("bn_resnet288", "bottlenecks, 24 24 24 24", 146_452_776, {"variant": "288"}),
    _bn_resnet("bn_resnet600", "bottlenecks, 50 50 50 50", 300_639_016, {"variant": "600"}),
    _resnet("resnet20", "basic blocks, 3 stages of 3", 272_762, RESNET20, input_size=(3, 32, 32)),
    _resnet(
        "resnet_digits",
        "basic blocks, 2 stages of 2, for 8x8",
        43_226,
        RESNET_DIGITS,
        input_size=(1, 8, 8),
    ),
    _resnet("resnet26", "bottlenecks, stages of 2 2 2 2", 15_995_176, {"variant": "26"}),
    _RESNET50,
    _resnet("resnet101", "bottlenecks, torchvision's", 44_549_160, {"variant": "101"}),
    _resnet("resnet152", "bottlenecks, torchvision's", 60_192_808, {"variant": "152"}),
    Reference(
        name="sn_resnet20",
        family="ResNet, self-normalizing",
        build="sppkit.models.sn_resnet:sn_resnet20",
        paper=SELF_NORMALIZING,
        summary="SELU twin of bn_resnet20, merges (a + b) / sqrt 2",
        expectation="variance near 1, squared mean near 0; zero padding costs some at each 3x3",
        input_size=(3, 32, 32),
        parameters=271_962,
    ),
)
