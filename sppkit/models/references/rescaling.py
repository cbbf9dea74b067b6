"""Networks whose residual sums are rescaled: RescaleNet and EUNNet."""

from functools import partial

from sppkit.models.references.reference import Reference, variant_of

_EUNNET = (
    "EUNNet: Efficient un-normalized convolution layer for stable training of deep residual "
    "networks without batch normalization layer, Nguyen, Choi, Yang, 2023, IEEE Access, document "
    "10041931"
)
_RESCALENET = (
    "Is normalization indispensable for training deep neural networks?, Shao, Hu, Wang, Xue, Raj, "
    "2020, NeurIPS"
)
_SMALL = {"variant": "26", "width": 16, "large_stem": False, "classes": 10}
_DIGITS = {"variant": "26", "width": 8, "large_stem": False, "classes": 10, "in_channels": 1}

_EUNNET50 = Reference(
    name="eunnet50",
    family="EUNNet",
    build="sppkit.models.eunnet:eunnet",
    arguments={"variant": "50"},
    paper=_EUNNET,
    summary="whole inputs standardised, stages of 3 4 6 3",
    expectation="variance 0.6 to 0.7 everywhere, squared mean 0.3 to 0.6, rising within stages",
    input_size=(3, 128, 128),
    parameters=25_530_488,
)

_RESCALENET50 = Reference(
    name="rescalenet50",
    family="RescaleNet",
    build="sppkit.models.rescalenet:rescalenet",
    arguments={"variant": "50"},
    paper=_RESCALENET,
    summary="weights and paths scaled by place, stages of 3 4 6 3",
    expectation="variance 0.25, flat within stages; each pooling takes 9/10 of white noise",
    input_size=(3, 128, 128),
    parameters=25_528_568,
)

_eunnet = partial(variant_of, _EUNNET50)
_rescalenet = partial(variant_of, _RESCALENET50)

RESCALING: tuple[Reference, ...] = (
    _EUNNET50,
    _eunnet(
        "eunnet101", "whole inputs standardised, stages of 3 4 23 3", 44_496_521, {"variant": "101"}
    ),
    _eunnet(
        "eunnet200",
        "whole inputs standardised, stages of 3 24 36 3",
        64_585_898,
        {"variant": "200"},
    ),
    _eunnet(
        "eunnet_x50_32x4d",
        "whole inputs standardised, stages of 3 4 6 3, 3x3 in 32 groups of 4",
        24_994_808,
        {"variant": "x50_32x4d"},
    ),
    _eunnet(
        "eunnet_x101_32x8d",
        "whole inputs standardised, stages of 3 4 23 3, 3x3 in 32 groups of 8",
        88_689_929,
        {"variant": "x101_32x8d"},
    ),
    _eunnet(
        "eunnet26_cifar",
        "a quarter of the width, stages of 2 2 2 2, small stem",
        878_546,
        _SMALL,
        input_size=(3, 32, 32),
    ),
    _eunnet(
        "eunnet26_digits",
        "an eighth of the width, stages of 2 2 2 2, small stem",
        221_858,
        _DIGITS,
        input_size=(1, 8, 8),
    ),
    _RESCALENET50,
    _rescalenet(
        "rescalenet101",
        "weights and paths scaled by place, stages of 3 4 23 3",
        44_494_601,
        {"variant": "101"},
    ),
    _rescalenet(
        "rescalenet200",
        "weights and paths scaled by place, stages of 3 24 36 3",
        64_583_978,
        {"variant": "200"},
    ),
    _rescalenet(
        "rescalenet_x50_32x4d",
        "weights and paths scaled by place, stages of 3 4 6 3, 3x3 in 32 groups of 4",
        24_992_888,
        {"variant": "x50_32x4d"},
    ),
    _rescalenet(
        "rescalenet_x101_32x8d",
        "weights and paths scaled by place, stages of 3 4 23 3, 3x3 in 32 groups of 8",
        88_688_009,
        {"variant": "x101_32x8d"},
    ),
    _rescalenet(
        "rescalenet26_cifar",
        "a quarter of the width, stages of 2 2 2 2, small stem",
        878_066,
        _SMALL,
        input_size=(3, 32, 32),
    ),
    _rescalenet(
        "rescalenet26_digits",
        "an eighth of the width, stages of 2 2 2 2, small stem",
        221_618,
        _DIGITS,
        input_size=(1, 8, 8),
    ),
)
