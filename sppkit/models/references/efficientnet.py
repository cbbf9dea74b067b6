"""EfficientNet-B0 with its normalisation and with what was tried in its place."""

from functools import partial

from sppkit.models.references.papers import THESIS
from sppkit.models.references.reference import Reference, variant_of

_EFFICIENTNET = (
    "EfficientNet: Rethinking model scaling for convolutional neural networks, Tan, Le, 2019, "
    "arXiv 1905.11946"
)

_B0 = Reference(
    name="efficientnet_b0",
    family="EfficientNet",
    build="sppkit.models.efficientnet:efficientnet_b0",
    paper=_EFFICIENTNET,
    summary="16 inverted bottlenecks, batch normalisation, for ImageNet",
    expectation="variance near 1 after each transition, growing by skip paths to 4",
    input_size=(3, 128, 128),
    parameters=5_288_548,
)

_THESIS_B0 = variant_of(
    _B0,
    "efficientnet_b0_bn",
    "efficientnet_b0 for CIFAR-100",
    4_135_648,
    {"variant": "bn", "classes": 100},
    paper=THESIS,
    input_size=(3, 32, 32),
)

_SMALL = variant_of(
    _B0,
    "efficientnet_small",
    "7 inverted bottlenecks, batch normalisation",
    37_960,
    {"variant": "bn"},
    build="sppkit.models.efficientnet:efficientnet_small",
    paper=THESIS,
    expectation="as efficientnet_b0",
    input_size=(3, 32, 32),
)

_DIGITS = variant_of(
    _SMALL,
    "efficientnet_digits",
    "7 inverted bottlenecks, batch normalisation, for 16x16 pictures of one channel",
    37_672,
    {"in_channels": 1},
    input_size=(1, 16, 16),
)

_thesis_b0 = partial(variant_of, _THESIS_B0)
_small = partial(variant_of, _SMALL)

EFFICIENTNET: tuple[Reference, ...] = (
    _B0,
    _THESIS_B0,
    _thesis_b0(
        "efficientnet_b0_none",
        "no normalisation, weights by fan-out",
        4_093_632,
        {"variant": "none"},
        expectation="variance 1e-3 at the first block, 1e-28 at the last",
        dead_at_initialization=True,
    ),
    _thesis_b0(
        "efficientnet_b0_sn",
        "SELU, LeCun weights (SN)",
        4_093_632,
        {"variant": "sn"},
        expectation="variance 0.2 at the first block, 1e-4 at the last",
    ),
    _thesis_b0(
        "efficientnet_b0_sn_mp",
        "SN with magnitude-preserving sum and gate",
        4_093_632,
        {"variant": "sn_mp"},
        expectation="variance 0.4 at the first block, 4e-5 at the last",
    ),
    _thesis_b0(
        "efficientnet_b0_sn_mp_learned",
        "SN with magnitude-preserving sums whose weight is learned",
        4_093_641,
        {"variant": "sn_mp_learned"},
        expectation="variance 0.4 at the first block, 4e-5 at the last",
    ),
    _thesis_b0(
        "efficientnet_b0_un",
        "as logged: unadapted weights, alpha everywhere, betas never reset",
        4_102_972,
        {"variant": "un"},
        expectation="variance 1e-3 at the first block, 2e-29 at the last",
        dead_at_initialization=True,
    ),
    _thesis_b0(
        "efficientnet_b0_un_repaired",
        "UN with all weights standardised, alpha on branches only",
        4_123_980,
        {"variant": "un_repaired"},
        expectation="variance 2.4 at the first block, 3e-3 at the last; at 64x64 2.6 and 1",
    ),
    _thesis_b0(
        "efficientnet_b0_dyt",
        "dynamic tanh in the place of each normalisation",
        4_135_697,
        {"variant": "dyt"},
        expectation="variance 1e-5 at the first block, 3e-41 at the last",
        dead_at_initialization=True,
    ),
    _thesis_b0(
        "efficientnet_b0_dyt_sn",
        "dynamic tanh, SELU, LeCun weights",
        4_135_697,
        {"variant": "dyt_sn"},
        expectation="variance 0.07 at the first block, 5e-5 at the last",
    ),
    _thesis_b0(
        "efficientnet_b0_ws",
        "weights standardised, not divided by the root of the fan-in",
        4_093_632,
        {"variant": "ws"},
        expectation="variance 3e2 at the first block, 1e63 at the last",
        dead_at_initialization=True,
    ),
    _thesis_b0(
        "efficientnet_b0_ws_sn",
        "the same with SELU",
        4_093_632,
        {"variant": "ws_sn"},
        expectation="variance 6e2 at the first block, 3e64 at the last",
        dead_at_initialization=True,
    ),
    _thesis_b0(
        "efficientnet_b0_ws_se_sn",
        "SN with standardised weights in squeeze-and-excite",
        4_093_632,
        {"variant": "ws_se_sn"},
        expectation="variance 0.3 at the first block, 2e-3 at the last",
    ),
    _thesis_b0(
        "efficientnet_b0_sws",
        "weights standardised and scaled everywhere, normalizer-free blocks",
        4_123_980,
        {"variant": "sws"},
        expectation="variance 2.4 at the first block, 0.03 at the last; at 64x64 2.6 and 8",
    ),
    _SMALL,
    _small(
        "efficientnet_small_none",
        "7 inverted bottlenecks, no normalisation, weights by fan-out",
        35_704,
        {"variant": "none"},
        expectation="as efficientnet_b0_none with fewer blocks",
        dead_at_initialization=True,
    ),
    _small(
        "efficientnet_small_sn",
        "7 inverted bottlenecks, SELU, LeCun weights (SN)",
        35_704,
        {"variant": "sn"},
        expectation="as efficientnet_b0_sn with fewer blocks",
    ),
    _small(
        "efficientnet_small_un_repaired",
        "7 inverted bottlenecks, UN with all weights standardised, alpha on branches only",
        37_294,
        {"variant": "un_repaired"},
        expectation="as efficientnet_b0_un_repaired with fewer blocks",
    ),
    _small(
        "efficientnet_small_sws",
        "7 inverted bottlenecks, weights standardised and scaled, normalizer-free blocks",
        37_294,
        {"variant": "sws"},
        expectation="as efficientnet_b0_sws with fewer blocks",
    ),
    _DIGITS,
    variant_of(
        _DIGITS,
        "efficientnet_digits_sn",
        "7 inverted bottlenecks, SELU, LeCun weights, for 16x16 pictures",
        35_416,
        {"variant": "sn"},
        expectation="as efficientnet_b0_sn with fewer blocks",
    ),
)
