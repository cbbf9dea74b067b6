"""Residual networks with batch normalisation in three orders, and those with silent branches."""

import math
from typing import Any

from benchmarks.references.case import Case
from benchmarks.references.cases_normalizer_free import RESNET50, SQUARED_MEAN, VARIANCE

CLEAN: dict[str, Any] = {"padding_mode": "circular", "stem_pool": False}
_PREACTIVATION = "simulated on stages of 3 4 6 3; arXiv 2101.08692, section 3"
_POSTACTIVATION = "torchvision's ResNet-50 with gammas of 1, run"


def _growing(step: float) -> tuple[float, ...]:
    """Return step * (1 + i) for block i of each stage."""
    return tuple(step * (1 + i) for depth in RESNET50 for i in range(1, depth + 1))


_RELU_BN = tuple(
    Case(
        reference="bn_resnet50",
        arguments={**CLEAN, "order": "relu-bn"},
        tap=tap,
        statistic=VARIANCE,
        published=published,
        source=_PREACTIVATION,
    )
    for tap, published in (("block", _growing(1.0)), ("residual branch", (1.0,) * 16))
)

_BN_RELU = tuple(
    Case(
        reference="bn_resnet50",
        arguments=CLEAN,
        tap=tap,
        statistic=statistic,
        published=published,
        source=_PREACTIVATION,
        # a squared mean is that of one gaussian number per channel, of which the first blocks have
        # 256 in each of three seeds: four standard errors
        tolerance=0.05 if statistic == VARIANCE else 4 * math.sqrt(2 / (3 * 256)),
    )
    for tap, statistic, published in (
        ("block", VARIANCE, _growing(0.681690)),
        ("block", SQUARED_MEAN, _growing(0.318310)),
        ("residual branch", VARIANCE, (0.6817,) * 16),
    )
)

_POST = tuple(
    Case(
        reference="resnet50",
        arguments=CLEAN,
        tap=tap,
        statistic=statistic,
        published=published,
        source=_POSTACTIVATION,
    )
    for tap, statistic, published in (
        ("block", VARIANCE, (0.683, 0.999, 1.342)),
        ("block", SQUARED_MEAN, (0.318, 0.685, 1.085)),
        ("residual branch", VARIANCE, (1.0,) * 16),
    )
)

_SILENT = tuple(
    Case(
        reference=name,
        input_size=(3, 32, 32),
        tap="residual branch" if name.startswith("fixup") else "block",
        statistic=VARIANCE,
        published=published,
        source=source,
        tolerance=None,
    )
    for name, published, source in (
        ("fixup_resnet20", (0.0,) * 9, "arXiv 1901.09321, rule 1: last convolutions are zero"),
        (
            "skipinit_resnet20",
            (),
            "arXiv 2002.10444: branches at zero; the level is that of stem and transitions",
        ),
    )
)

CASES: tuple[Case, ...] = (*_RELU_BN, *_BN_RELU, *_POST, *_SILENT)
