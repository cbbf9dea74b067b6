"""NF-ResNets, NF-RegNets and NFNets: the ladder, and what timm's choices make of it."""

from typing import Any

from benchmarks.references.case import Case

VARIANCE, SQUARED_MEAN = "average_channel_variance", "average_channel_squared_mean"
RESNET50 = (3, 4, 6, 3)
CLEAN: dict[str, Any] = {"skip_gain": 1.0, "padding_mode": "circular", "stem_pool": False}
_THEORY = "1 + i alpha², arXiv 2101.08692, section 4.1"


def ladder(depths: tuple[int, ...], alpha: float = 0.2) -> tuple[float, ...]:
    """Write the ladder down once more, apart from `sppkit.theory`."""
    return tuple(1 + i * alpha**2 for depth in depths for i in range(1, depth + 1))


_ANALYTIC = tuple(
    Case(
        reference=name,
        arguments={**CLEAN, **arguments},
        tap="block",
        statistic=VARIANCE,
        published=ladder(depths, alpha),
        source=_THEORY,
        tolerance=0.06,
    )
    for name, depths, alpha, arguments in (
        ("nf_resnet50", RESNET50, 0.2, {}),
        ("nf_resnet50", RESNET50, 1.0, {"alpha": 1.0}),
        ("nf_resnet26", (2, 2, 2, 2), 0.2, {"activation": "gelu"}),
    )
)

_BRANCHES = Case(
    reference="nf_resnet50",
    arguments=CLEAN,
    tap="residual branch",
    statistic=VARIANCE,
    published=(1.0,) * 16,
    source="arXiv 2101.08692, section 4.1",
    tolerance=0.06,
)

_ZERO_PADDING = Case(
    reference="nf_resnet50",
    arguments={"skip_gain": 1.0, "stem_pool": False},
    tap="residual branch",
    statistic=VARIANCE,
    # (1 - 2 / (3 H))² of each 3x3 at H = 32, 16, 8, 4 of this input; the factor of a transition is
    # that of a strided convolution
    published=tuple((1 - 2 / (3 * side)) ** 2 for side in (32, 32, 32)),
    source="derived: what zero padding takes from a 3x3 convolution of stride 1",
)

_TIMM = tuple(
    Case(
        reference="nf_resnet50",
        arguments={"convention": "timm", "skip_gain": None},
        input_size=(3, 128, 128),
        activate=activate,
        tap="block",
        statistic=VARIANCE,
        published=published,
        source="timm's nf_resnet50 run with white noise; stem gain gamma², pooling skip paths",
        tolerance=None,
    )
    for activate, published in (
        (False, (2.957, 2.957, 2.957, *(0.989,) * 4, *(0.241,) * 6, *(0.050,) * 3)),
        (True, (3.06, 3.18, 3.29, 1.20)),
    )
)

_SQUARED_MEAN = Case(
    reference="nf_resnet50",
    arguments=CLEAN,
    tap="block",
    statistic=SQUARED_MEAN,
    published=(0.0,) * 16,
    source="arXiv 2101.08692, figure 2: near 0",
    tolerance=None,
)

_POOLED = tuple(
    Case(
        reference=name,
        arguments={"skip_gain": 1.0, "padding_mode": "circular"},
        input_size=size,
        input="pink",
        tap="block",
        statistic=VARIANCE,
        published=(),
        source="ours alone: averaging skip paths take a part that depends on the input",
        tolerance=None,
    )
    for name, size in (
        ("nf_regnet_b0", (3, 128, 128)),
        ("nfnet_f0", (3, 128, 128)),
        ("nfnet_cifar", (3, 32, 32)),
    )
)

CASES: tuple[Case, ...] = (
    *_ANALYTIC,
    _SQUARED_MEAN,
    _BRANCHES,
    _ZERO_PADDING,
    *_TIMM,
    *_POOLED,
)
