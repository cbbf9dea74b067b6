"""ReActNets: no statistics are published; the branch of a sign is, and the rest is ours alone."""

from benchmarks.references.case import Case
from benchmarks.references.cases_normalizer_free import SQUARED_MEAN, VARIANCE

_OURS = "ours alone: none is published"
_LARGE = (3, 128, 128)
_SMALL = (3, 32, 32)

CASES: tuple[Case, ...] = (
    *(
        Case(
            reference=reference,
            input_size=size,
            tap="block",
            statistic=statistic,
            published=(),
            source=_OURS,
            tolerance=None,
        )
        for reference, size in (
            ("reactnet18_bf", _LARGE),
            ("reactnet18_bn", _LARGE),
            ("reactnet18_none", _LARGE),
            ("reactnet_a_bf", _LARGE),
            ("reactnet_a_none", _LARGE),
            ("reactnet18_cifar", _SMALL),
            ("reactnet18_cifar_bn", _SMALL),
            ("reactnet18_cifar_none", _SMALL),
            ("reactnet_a_cifar", _SMALL),
        )
        for statistic in (VARIANCE, SQUARED_MEAN)
    ),
    Case(
        reference="reactnet18_cifar",
        arguments={"width": 64, "padding_mode": "circular"},
        input_size=_SMALL,
        tap="residual branch",
        statistic=VARIANCE,
        published=(0.75,),
        source="theory: 3/4 for uniform weights and inputs of +-1",
    ),
)
