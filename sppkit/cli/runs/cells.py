"""Numbers of runs as cells of a table."""

import math
from collections.abc import Sequence
from statistics import fmean, stdev


def spread(values: Sequence[float], form: str) -> str:
    """Write the mean, and the standard deviation where there are several.

    >>> spread([0.5], ".2f"), spread([0.4, 0.6], ".2f"), spread([math.nan], ".2f")
    ('0.50', '0.50±0.14', '-')
    """
    if not all(map(math.isfinite, values)):
        return "-" if all(map(math.isnan, values)) else "not finite"
    mean = format(fmean(values), form)
    return f"{mean}±{stdev(values):{form}}" if len(values) > 1 else mean


def duration(seconds: float) -> str:
    """Write a time.

    >>> duration(3.21), duration(150), duration(7300)
    ('3.2 s', '2 min 30 s', '2 h 1 min')
    """
    if seconds < 100:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
