"""How many seeds a verdict needs: as many as make it the same for every first seed.

A rule compares the logarithm of a statistic, averaged over seeds, with a threshold, and says how
many standard errors lie between the two. For n seeds that is a Student t with n - 1 degrees of
freedom; where it is large enough, other seeds would have given the same answer.
"""

import math
from dataclasses import dataclass

from scipy.special import stdtrit

from sppkit.rules import Diagnosis, Severity

CONFIDENCE = 0.998
"""Of each decision that ends the drawing of seeds: one-sided, so that of two checks of a network
with different seeds fewer than 1 % disagree even where they look up to four times."""

MOST_STANDARD_ERRORS = 30.0

GROWTH = 1.5
"""By which the number of seeds grows where the verdict is not clear: 5, 8, 12, 18, 20."""


@dataclass(frozen=True)
class Clarity:
    """How clear a verdict is.

    Attributes:
        is_clear: whether other seeds would give the same one, with `CONFIDENCE`.
        needed: standard errors that decide, for this number of seeds.
        near: rules that lie closer to their threshold than that and could turn the verdict, with
            their distances.
    """

    is_clear: bool
    needed: float
    near: dict[str, float]


def clarity(diagnosis: Diagnosis) -> Clarity:
    """Judge how clear a verdict is from what its rules say of their distance to the threshold.

    A failure is clear where one error is, by its distance or because its rule has none (it holds
    or it does not). A pass is clear where no rule comes near its threshold. One seed says nothing
    about others.
    """
    needed = standard_errors_needed(len(diagnosis.seeds))
    counted = {f.code for f in diagnosis.counted if f.severity is Severity.ERROR}
    set_aside = {f.code for f in diagnosis.findings if f.ignored} - counted
    distances = {c: d for c, d in diagnosis.nearness.items() if c not in set_aside}
    if any(distances.get(code, math.inf) >= needed for code in counted):
        return Clarity(True, needed, {})
    near = {code: d for code, d in distances.items() if not abs(d) >= needed}
    return Clarity(not near, needed, near)


def standard_errors_needed(seeds: int) -> float:
    """Give the quantile of Student's t that decides for a number of seeds; infinite for one.

    It is at most `MOST_STANDARD_ERRORS`, which two seeds reach where they agree to a fraction of
    the distance.

    >>> [round(standard_errors_needed(n), 1) for n in (5, 8, 20)]
    [6.0, 4.2, 3.3]
    """
    if seeds < 2:
        return math.inf
    return min(float(stdtrit(seeds - 1, CONFIDENCE)), MOST_STANDARD_ERRORS)


def next_number_of_seeds(seeds: int, maximum: int) -> int:
    """Give the number of seeds to look at next.

    >>> next_number_of_seeds(5, 20), next_number_of_seeds(18, 20)
    (8, 20)
    """
    return min(maximum, max(seeds + 1, math.ceil(seeds * GROWTH)))
