"""EUNNets, whose statistics were published from one run, and RescaleNets, whose were not."""

from math import nan

from benchmarks.references.case import Case
from benchmarks.references.cases_normalizer_free import SQUARED_MEAN, VARIANCE

ACTIVE = "zero_fraction"

_SIZE = (3, 128, 128)
_EUNNET = "the authors' code at initialisation, one run; the ends of stages"
_INSIDE = (nan, nan, nan, nan)

_EUN = tuple(
    Case(
        reference="eunnet50",
        input_size=_SIZE,
        tap="block",
        statistic=statistic,
        published=published,
        source=_EUNNET,
        # a squared mean is that of one number per channel, and theirs is one seed's
        tolerance=tolerance,
    )
    for statistic, published, tolerance in (
        (VARIANCE, (0.64,) * 16, 0.08),
        (
            SQUARED_MEAN,
            (0.32, nan, 0.46, 0.35, nan, nan, 0.53, 0.39, *_INSIDE, 0.67, 0.42, nan, 0.55),
            0.12,
        ),
        (
            ACTIVE,
            (0.5, nan, nan, 0.5, nan, nan, nan, 0.5, *_INSIDE, 0.18, 0.5, nan, nan),
            0.05,
        ),
    )
)

_OTHERS = tuple(
    Case(
        reference=reference,
        input_size=size,
        tap="block",
        statistic=VARIANCE,
        published=(),
        source=source,
        tolerance=None,
    )
    for reference, size, source in (
        ("eunnet26_cifar", (3, 32, 32), "ours alone: a small member"),
        ("rescalenet50", _SIZE, "ours alone: none is published; He's weights, zero means"),
        ("rescalenet26_cifar", (3, 32, 32), "ours alone: a small member"),
    )
)

CASES: tuple[Case, ...] = (*_EUN, *_OTHERS)
