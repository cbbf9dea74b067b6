"""Write what was measured: rows for machines, a table for people."""

from pathlib import Path

import pandas as pd

RESULTS = Path(__file__).parent / "results"
COLUMNS = [
    *("case", "tap", "statistic", "block", "measured", "spread", "published", "tolerance"),
    "source",
]


def write(rows: pd.DataFrame) -> None:
    """Write `measured.csv` and `report.md`."""
    RESULTS.mkdir(exist_ok=True)
    rows[COLUMNS].to_csv(RESULTS / "measured.csv", index=False, float_format="%.6g")
    (RESULTS / "report.md").write_text(f"{_HEAD}\n{table(rows)}\n")


_HEAD = """# Reference networks, measured

Made by `python -m benchmarks.references`. Means over seeds, block by block; "off by" is the largest
relative difference from what is published, where there is a tolerance that it has to meet.
"""


def table(rows: pd.DataFrame) -> str:
    """Return the rows as a table in Markdown, one line per case and statistic."""
    lines = [
        "| network, input | curve | measured | published | off by | tolerance | source |",
        "|---|---|---|---|---|---|---|",
    ]
    keys = ["case", "tap", "statistic", "source"]
    for key, group in rows.groupby(keys, sort=False):
        case, tap, statistic, source = map(str, key)
        curve = f"{statistic.replace('_', ' ')} at {tap}"
        cells = (case, curve, _values(group["measured"]), _values(group["published"].dropna()))
        lines.append(f"| {' | '.join((*cells, *_verdict(group), source))} |")
    return "\n".join(lines)


def largest_difference(group: pd.DataFrame) -> float:
    """Compute the largest relative difference of measured from published values."""
    compared = group.dropna(subset=["published"])
    return float((compared["measured"] / compared["published"] - 1).abs().max())


def _verdict(group: pd.DataFrame) -> tuple[str, str]:
    tolerance = group["tolerance"].iloc[0]
    if pd.isna(tolerance):
        return "", ""
    return f"{100 * largest_difference(group):.1f} %", f"{100 * tolerance:.0f} %"


def _values(values: pd.Series) -> str:
    """Write at most eight numbers of three digits; of more, the first and the last four."""
    shown = [f"{value:.3g}" for value in values]
    return " ".join(shown if len(shown) <= 8 else [*shown[:4], "...", *shown[-4:]])
