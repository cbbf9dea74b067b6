"""Networks without residual blocks: fully connected and convolutional."""

from functools import partial

from sppkit.models.references.papers import SELF_NORMALIZING, THESIS
from sppkit.models.references.reference import Reference, variant_of

_HE = "Delving deep into rectifiers, He, Zhang, Ren, Sun, 2015, arXiv 1502.01852"
_GAUR = (
    "Training deep neural networks without batch normalization, Gaur, Folz, Dengel, 2020, "
    "arXiv 2008.07970"
)

_NORMALIZED = "variance 1 after each norm; 0.34 and squared mean 0.16 after each ReLU"

_MLP = Reference(
    name="mlp",
    family="fully connected",
    build="sppkit.models.mlp:mlp",
    paper=_HE,
    summary="8 hidden layers of 256, ReLU, He initialisation; norm= batch or layer",
    expectation="second moment stays at 2, its variance over samples turns into squared mean",
    input_size=(64,),
    parameters=479_754,
)

_FFNN = Reference(
    name="ffnn",
    family="thesis, plain",
    build="sppkit.models.feed_forward:ffnn",
    paper=THESIS,
    summary="10 linear layers of 512, ReLU, weights by fan-out, for CIFAR-100",
    expectation="second moment kept; variance over samples becomes squared mean with depth",
    input_size=(3, 32, 32),
    parameters=3_725_924,
)

_FFNN_BN = variant_of(
    _FFNN,
    "ffnn_bn",
    "ffnn with batch normalisation before each ReLU",
    3_735_140,
    {"norm": "affine"},
    expectation=_NORMALIZED,
)

_CNN = Reference(
    name="cnn",
    family="thesis, plain",
    build="sppkit.models.plain_cnn:cnn",
    paper=THESIS,
    summary="3 convolutions with max-pooling, 3 linear layers, for CIFAR-100",
    expectation="second moment grows by max-pooling and shrinks by fan-out where layers widen",
    input_size=(3, 32, 32),
    parameters=1_299_364,
)

_CNN_BN = variant_of(
    _CNN,
    "cnn_bn",
    "cnn with batch normalisation everywhere",
    1_301_348,
    {"normalized": "all"},
    expectation=_NORMALIZED,
)

_GAUR_CNN = Reference(
    name="gaur_cnn",
    family="arms against batch normalisation",
    build="sppkit.models.gaur:gaur_cnn",
    arguments={"norm": "none"},
    paper=_GAUR,
    summary="6 convolutions without normalisation, weights by fan-in",
    expectation="second moment kept, raised by each max-pooling",
    input_size=(3, 32, 32),
    parameters=72_730,
)

_GAUR_CNN_BN = variant_of(
    _GAUR_CNN,
    "gaur_cnn_bn",
    "6 convolutions, batch normalisation",
    73_178,
    {"norm": "batch"},
    expectation=_NORMALIZED,
)

_cnn = partial(variant_of, _CNN)
_gaur_cnn = partial(variant_of, _GAUR_CNN)

PLAIN: tuple[Reference, ...] = (
    _MLP,
    variant_of(
        _MLP,
        "sn_mlp",
        "8 hidden layers of 256, SELU, LeCun initialisation",
        479_754,
        build="sppkit.models.mlp:sn_mlp",
        paper=SELF_NORMALIZING,
        expectation="variance stays at 1, squared mean at 0",
    ),
    _FFNN,
    _FFNN_BN,
    variant_of(
        _FFNN_BN,
        "ffnn_bn_fixed",
        "ffnn_bn whose gains stay 1 and biases 0",
        3_725_924,
        {"norm": "fixed"},
    ),
    variant_of(
        _FFNN,
        "ffnn_digits",
        "ffnn for 8x8 pictures, 64 wide",
        38_090,
        {"width": 64, "in_features": 64, "classes": 10},
        input_size=(1, 8, 8),
    ),
    variant_of(
        _FFNN_BN,
        "ffnn_bn_digits",
        "ffnn_bn for 8x8 pictures, 64 wide",
        39_242,
        {"width": 64, "in_features": 64, "classes": 10},
        input_size=(1, 8, 8),
    ),
    _CNN,
    _CNN_BN,
    _cnn(
        "cnn_bn_features",
        "cnn with batch normalisation in the convolutions",
        1_299_812,
        {"normalized": "features"},
        expectation="as cnn_bn up to the flattening",
    ),
    _cnn(
        "cnn_bn_classifier",
        "cnn with batch normalisation in the linear layers",
        1_300_900,
        {"normalized": "classifier"},
        expectation="as cnn up to the flattening",
    ),
    _cnn(
        "cnn_digits",
        "cnn for 16x16 pictures, a quarter as wide",
        16_554,
        {"width": 8, "hidden": 64, "in_channels": 1, "image_size": 16, "classes": 10},
        expectation="as cnn",
        input_size=(1, 16, 16),
    ),
    variant_of(
        _CNN_BN,
        "cnn_bn_digits",
        "cnn_bn for 16x16 pictures, a quarter as wide",
        16_858,
        {"width": 8, "hidden": 64, "in_channels": 1, "image_size": 16, "classes": 10},
        expectation="as cnn_bn",
        input_size=(1, 16, 16),
    ),
    _GAUR_CNN_BN,
    _GAUR_CNN,
    _gaur_cnn(
        "gaur_cnn_wn",
        "6 convolutions, weight normalisation",
        72_964,
        {"norm": "weight"},
        expectation="equal to gaur_cnn at initialisation",
    ),
    _gaur_cnn(
        "gaur_cnn_dropout",
        "6 convolutions, channels dropped at a rate of 0.2",
        72_730,
        {"dropout": 0.2},
        expectation="second moment 1.25 times that of gaur_cnn per layer, in train mode",
    ),
    _gaur_cnn(
        "gaur_cnn_wn_dropout",
        "6 convolutions, weight normalisation and dropout",
        72_964,
        {"norm": "weight", "dropout": 0.2},
        expectation="equal to gaur_cnn_dropout at initialisation",
    ),
    _gaur_cnn(
        "gaur_cnn_digits",
        "gaur_cnn for 16x16 pictures of one channel, half as wide",
        18_370,
        {"width": 8, "in_channels": 1},
        expectation="as gaur_cnn",
        input_size=(1, 16, 16),
    ),
    variant_of(
        _GAUR_CNN_BN,
        "gaur_cnn_bn_digits",
        "gaur_cnn_bn for 16x16 pictures of one channel, half as wide",
        18_594,
        {"width": 8, "in_channels": 1},
        expectation="as gaur_cnn_bn",
        input_size=(1, 16, 16),
    ),
)
