"""EfficientNet-B0 by variant: first and last block, and the repair of UN step by step.

The published values are of runs of the author's code with few seeds. Where weights are not
standardised, depthwise filters of 9 weights make them spread over seeds by a factor of 2 at the
first block and of up to 100 at the last: context, while tests compare geometric means of 4 to 8
seeds within half a decade.
"""

from math import nan
from typing import Any

from benchmarks.references.case import Case
from benchmarks.references.cases_normalizer_free import VARIANCE

_RUN = "the author's code at initialisation, first and last of 16 blocks"
_REPAIR = "the author's UN, repaired step by step, first and last of 16 blocks"

_FIRST_AND_LAST: tuple[tuple[str, float, float], ...] = (
    ("bn", 1.0, 1.0),
    ("none", 8e-4, 2e-28),
    ("sn", 0.27, 1.4e-4),
    ("sn_mp", 0.42, 4e-5),
    ("sn_mp_learned", 0.48, 4.5e-5),
    ("un", 1e-3, 2e-29),
    ("dyt", 1e-5, 3e-41),
    ("dyt_sn", 0.08, 5e-5),
    ("ws", 3e2, nan),
    ("ws_sn", 6e2, nan),
    ("ws_se_sn", 0.26, 2.5e-3),
    ("un_repaired", 2.6, 0.0047),
)

_LADDER: tuple[tuple[dict[str, Any], int, float, float], ...] = (
    ({"activation_gain": "none"}, 32, 6e-5, 1e-38),
    ({"initialization": "fan_in"}, 32, 0.08, 2.5e-16),
    ({"scale_transitions": False}, 32, 0.025, 1.4e-19),
    ({"convolution": "scaled_standardized"}, 32, 0.06, 1.6e-16),
    ({"initialization": "fan_in", "scale_transitions": False}, 32, 1.9, 0.067),
    (
        {
            "initialization": "fan_in",
            "scale_transitions": False,
            "activation_gain": "deviation",
        },
        32,
        3.0,
        41.0,
    ),
    ({"variant": "un_repaired"}, 64, 2.8, 1.3),
    ({"variant": "un_repaired", "activation_gain": "second moment"}, 64, 1.8, 0.0015),
    ({"variant": "sn"}, 64, 0.22, 0.0086),
    ({"variant": "sn", "squeeze_gain": 2.0}, 32, 0.82, 0.053),
    ({"variant": "sn", "squeeze_gain": 2.0}, 64, 0.86, 0.86),
)


def _case(arguments: dict[str, Any], size: int, first: float, last: float, source: str) -> Case:
    return Case(
        reference="efficientnet_b0",
        arguments={"variant": "un", **arguments, "classes": 100},
        input_size=(3, size, size),
        seeds=4,
        tap="block",
        statistic=VARIANCE,
        published=(first, *(nan,) * 14, last),
        source=source,
        tolerance=None,
    )


CASES: tuple[Case, ...] = (
    *(_case({"variant": name}, 32, first, last, _RUN) for name, first, last in _FIRST_AND_LAST),
    _case({"variant": "sws"}, 32, nan, nan, "ours alone: the variant is ours"),
    *(_case(changes, size, first, last, _REPAIR) for changes, size, first, last in _LADDER),
)
