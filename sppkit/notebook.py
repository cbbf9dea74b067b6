"""What notebooks show of results: static HTML without a script, everything escaped.

It has no style of its own but the colour of a line, so that it fits light and dark pages, and what
GitHub, VS Code and Colab leave of it.
"""

import math
from collections.abc import Iterable, Sequence
from html import escape

WIDTH, HEIGHT = 120, 20
"""Of a sparkline, in pixels."""

_COLOR = "#0072b2"
_MOST_POINTS = 120  # one for each pixel


def sparkline(values: Sequence[float], name: str) -> str:
    """Draw the logarithm of positive values, a decade high at least; nothing where there is none.

    Args:
        values: in order of depth; those that are not finite or not positive are left out.
        name: what they are, for readers who do not see the curve.

    >>> sparkline([1.0, float("nan")], "second moment over depth")
    ''
    """
    logs = [math.log10(value) for value in values if math.isfinite(value) and value > 0]
    if len(logs) < 2:
        return ""
    title = f"{name}, {10 ** logs[0]:.2g} to {10 ** logs[-1]:.2g}"
    every = -(-len(logs) // _MOST_POINTS)
    shown = [*logs[:-1:every], logs[-1]]
    low, high = min(shown), max(max(shown), min(shown) + 1.0)
    step = WIDTH / (len(shown) - 1)
    points = " ".join(
        f"{k * step:.1f},{HEIGHT * (high - log) / (high - low) + 1:.1f}"
        for k, log in enumerate(shown)
    )
    return (
        f'<svg width="{WIDTH}" height="{HEIGHT + 2}" role="img"><title>{escape(title)}</title>'
        f'<polyline points="{points}" fill="none" stroke="{_COLOR}"/></svg>'
    )


def row(cells: Iterable[str], kind: str = "td") -> str:
    """Write a row of a table; cells are HTML.

    >>> row(["a", "b"], "th")
    '<tr><th>a</th><th>b</th></tr>'
    """
    return f"<tr>{''.join(f'<{kind}>{cell}</{kind}>' for cell in cells)}</tr>"


def folded(summary: str, lines: Iterable[str]) -> str:
    """Write a list that opens when it is asked for; nothing where it is empty.

    >>> folded("1 skipped", ["SPP101: <none>"])
    '<details><summary>1 skipped</summary><ul><li>SPP101: &lt;none&gt;</li></ul></details>'
    """
    entries = "".join(f"<li>{escape(line)}</li>" for line in lines)
    summary = escape(summary)
    return f"<details><summary>{summary}</summary><ul>{entries}</ul></details>" if entries else ""
