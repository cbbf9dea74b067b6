"""Read numbers that another program has written."""

import re
from collections.abc import Iterable
from typing import Any

_WRAPPED = re.compile(r"(?:np|numpy|torch)\.\w+\((.*)\)|tensor\((.*?)(?:,.*)?\)")
"""A scalar as numpy 2 and torch print it: np.float32(0.5), tensor(0.5, device='cuda:0')."""


def numbers(name: str, values: Iterable[Any]) -> list[float]:
    """Make floats of what is one.

    Raises:
        ValueError: an entry is no number.
    """
    return [_number(name, index, value) for index, value in enumerate(values)]


def _number(name: str, index: int, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"entry {index} of {name} is no number: {value!r}") from error


def written_number(text: str) -> float:
    """Read a number as `str` writes it, also one of numpy 2, nan, inf and None (which is NaN).

    >>> written_number("np.float32(0.5)"), written_number("-inf"), written_number("None")
    (0.5, -inf, nan)

    Raises:
        ValueError: it is none.
    """
    text = text.strip()
    if wrapped := _WRAPPED.fullmatch(text):
        text = (wrapped[1] or wrapped[2]).strip()
    return float("nan" if text == "None" else text)
