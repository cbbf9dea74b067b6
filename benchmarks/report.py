"""Tables of results: for the terminal, as markdown, as CSV."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

WIDTH = 150
"""Columns of a table that goes to no terminal."""


@dataclass(frozen=True)
class Report:
    """Results as they are shown.

    Attributes:
        title: what was measured.
        facts: about the machine.
        columns: headings.
        rows: as many cells each, ready to print.
        records: the same in full precision, for CSV.
        remarks: under the table.
    """

    title: str
    facts: Mapping[str, str]
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    records: Sequence[Mapping[str, object]]
    remarks: Sequence[str] = ()


def print_report(report: Report) -> None:
    """Print to the terminal."""
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console = Console(highlight=False, markup=False, width=WIDTH)
    console.print(Text(", ".join(f"{name} {fact}" for name, fact in report.facts.items())))
    table = Table(*report.columns, title=report.title, box=None, pad_edge=False)
    for row in report.rows:
        table.add_row(*map(Text, row))
    console.print(table)
    for remark in report.remarks:
        console.print(Text(remark))


def write_report(report: Report, path: Path) -> None:
    """Write a file, in the form that its suffix names.

    Raises:
        ValueError: for any suffix but .md and .csv.
    """
    writers = {".md": _markdown, ".csv": _comma_separated}
    if path.suffix not in writers:
        raise ValueError(f"{str(path)!r} must end in .md or .csv")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(writers[path.suffix](report))


def _markdown(report: Report) -> str:
    lines = [f"# {report.title}", ""]
    lines += [f"- {name}: {fact}" for name, fact in report.facts.items()]
    lines += ["", _row(report.columns), _row(["---"] * len(report.columns))]
    lines += [_row(row) for row in report.rows]
    lines += ["", *(f"- {remark}" for remark in report.remarks)]
    return "\n".join(lines).rstrip() + "\n"


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _comma_separated(report: Report) -> str:
    table = pd.DataFrame([{**record, **report.facts} for record in report.records])
    return str(table.to_csv(index=False, lineterminator="\n"))
