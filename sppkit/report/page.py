"""The page itself: verdicts, findings, figures, layers and circumstances in one file of HTML."""

import base64
import hashlib
import json
import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from markupsafe import Markup

from sppkit import plots
from sppkit.errors import NothingObservedError
from sppkit.escaping import without_control_characters
from sppkit.files import replace
from sppkit.plots import style
from sppkit.plots.comparison import last_common_step
from sppkit.plots.files import GENERATOR, check_destination
from sppkit.recording import Recording
from sppkit.report.facts import (
    Trained,
    circumstances,
    flattened,
    missing,
    remarks,
    written,
)
from sppkit.report.layers import COLUMNS, HEIGHT, WIDTH, layer_table, row_of
from sppkit.report.pictures import Picture, color_variables, picture_of
from sppkit.rules import Diagnosis, Severity, all_rules
from sppkit.signals import Phase, Signal

_HERE = Path(__file__).parent
_HEAT_MAPS = (  # of which signals, and whether relative to the first step
    (Signal.ACTIVATION, False),
    (Signal.ACTIVATION, True),
    (Signal.GRADIENT, False),
    (Signal.WEIGHT_GRADIENT, False),
)

_ENVIRONMENT = jinja2.Environment(
    loader=jinja2.FileSystemLoader(_HERE),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=jinja2.StrictUndefined,
)


def make_report(
    recording: Recording,
    diagnoses: Sequence[Diagnosis],
    *,
    command: str = "",
    trained: Trained | None = None,
    title: str = "",
) -> str:
    """Make the page about the runs of a recording.

    It refers to no other file and asks for nothing over a network: drawings, style and script are
    in it, and its own policy forbids whatever else. Without the script everything can be read;
    with it tables sort and filter, and figures tell what is pointed at.

    Args:
        recording: of one or several runs.
        diagnoses: of its runs, as `sppkit.rules.judge` or `sppkit.check` give them.
        command: what made the page, to be copied.
        trained: what a training came to.
        title: of the page; by default the names of the runs.

    Returns:
        The page, as HTML.
    """
    table = layer_table(recording, diagnoses)
    anchors = table.anchors()
    pictures = list(_pictures(recording))
    script = (_HERE / "report.js").read_text("utf-8")
    page = _ENVIRONMENT.get_template("page.html.jinja").render(
        generator=GENERATOR,
        title=title or " vs ".join(recording.runs),
        command=command,
        diagnoses=[_diagnosis(d, recording, anchors) for d in _numbered(diagnoses)],
        titles={rule.code: rule.title for rule in all_rules()},
        groups=_grouped(pictures),
        pointed={p.name: p.panels for _, p in pictures},
        anchors=anchors,
        table=table,
        columns=COLUMNS,
        sparkline=(WIDTH, HEIGHT),
        runs=recording.runs,
        trained=trained or Trained(),
        circumstances=circumstances(recording),
        missing=missing(recording),
        remarks=remarks(recording),
        themes={name: color_variables(name, len(recording.runs)) for name in style.THEMES},
        style=Markup((_HERE / "report.css").read_text("utf-8")),  # our own file
        script=Markup(script),  # our own file
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        number=_written_number,
        written=written,
        flattened=flattened,
        as_json=_as_json,
    )
    return without_control_characters(page)


def save_report(page: str, path: str | os.PathLike[str], *, force: bool = False) -> Path:
    """Write a page: whole or not at all, and not over a file that sppkit did not write.

    Raises:
        OutputError: the path does not end in .html, or nothing can be written there.
    """
    place = check_destination(path, force=force)
    replace(place, page.encode("utf-8", "backslashreplace"))
    return place


# --------------------------------------------------------------------------------------- diagnoses


def _numbered(diagnoses: Sequence[Diagnosis]) -> Iterator[tuple[int, Diagnosis]]:
    """Give each diagnosis with the number of findings before it."""
    before = 0
    for diagnosis in diagnoses:
        yield before, diagnosis
        before += len(diagnosis.findings)


def _diagnosis(
    numbered: tuple[int, Diagnosis], recording: Recording, anchors: dict[str, dict[str, str]]
) -> dict[str, Any]:
    before, diagnosis = numbered
    counts = {s: sum(f.severity is s for f in diagnosis.counted) for s in Severity}
    findings = [
        {"number": before + k, "finding": f, "row": row_of(f, diagnosis.target, anchors)}
        for k, f in enumerate(diagnosis.findings, start=1)
    ]
    return {
        "diagnosis": diagnosis,
        "counts": {s.value: count for s, count in counts.items() if count},
        "findings": findings,
        "color": recording.runs.index(diagnosis.target)
        if diagnosis.target in recording.runs
        else 0,
        "judged_at": _judged_at(recording, diagnosis.target),
    }


def _judged_at(recording: Recording, run: str) -> str:
    """Say at which step of a training the rules looked."""
    table = recording.table()
    of_run = table[table["run"] == run]
    if of_run.empty or not (of_run["phase"] == Phase.TRAIN).any():
        return ""
    return f"judged at step {int(of_run['step'].min())}, the first that was recorded"


# ---------------------------------------------------------------------------------------- pictures


@dataclass(frozen=True)
class _Drawing:
    """A figure that a page may have.

    Attributes:
        group: heading below which it stands.
        name, caption: of the figure.
        draw: makes it of the recording.
        options: of `draw`.
    """

    group: str
    name: str
    caption: str
    draw: Callable[..., Any]
    options: dict[str, Any]


def _pictures(recording: Recording) -> Iterator[tuple[str, Picture]]:
    """Draw every figure that the recording has something for."""
    for each in _drawings(recording) if recording.runs else ():
        try:
            figure = each.draw(recording, **each.options)
        except NothingObservedError:
            continue
        yield each.group, picture_of(figure, each.name, each.caption, recording.runs)


def _drawings(recording: Recording) -> Iterator[_Drawing]:
    first, last = _ends(recording.table())
    for name, step in {"spp": first, **({} if last == first else {"spp-last": last})}.items():
        at = "" if first == last else f" at step {step}"
        caption = f"Signal propagation over depth{at}: activations above, gradients below."
        yield _Drawing("Signal propagation", name, caption, _signal_propagation, {"step": step})
    at, of_last = "" if first == last else f" at step {last}", {"step": last}
    caption = f"Root mean square of gradients over depth{at}."
    yield _Drawing("Gradients and weights", "flow", caption, plots.plot_gradient_flow, of_last)
    caption = f"Weights over depth{at}, and what moves them."
    yield _Drawing("Gradients and weights", "weights", caption, plots.plot_weights, of_last)
    if first != last:
        yield from _heat_maps()
    if len(recording.runs) > 1:
        caption = f"Average channel variance of all runs{at}, and the ratio to the first."
        yield _Drawing("Comparison", "comparison", caption, plots.plot_comparison, of_last)


def _heat_maps() -> Iterator[_Drawing]:
    for signal, relative in _HEAT_MAPS:
        name = f"map-{signal.replace(' ', '-')}{'-relative' if relative else ''}"
        caption = (
            f"{signal.capitalize()} of every layer over the steps, log10 of the second moment"
            f"{' over that at the first step: what training changes' if relative else ''}."
        )
        options = {"signal": signal, "relative": relative}
        yield _Drawing("Over training", name, caption, plots.plot_over_training, options)


def _signal_propagation(recording: Recording, step: int | None) -> Any:
    """Draw with the row of gradients where gradients were recorded."""
    try:
        return plots.plot_signal_propagation(recording, step=step, gradient=True)
    except NothingObservedError:
        return plots.plot_signal_propagation(recording, step=step)


def _ends(table: pd.DataFrame) -> tuple[int | None, int | None]:
    """Give the first and the last step that all runs have recorded; None for each run's own."""
    each = [set(rows["step"]) for _, rows in table.groupby("run", observed=True)]
    common = set.intersection(*each) if each else set()
    return (int(min(common)), last_common_step(table)) if common else (None, None)


def _grouped(pictures: Sequence[tuple[str, Picture]]) -> dict[str, list[Picture]]:
    groups: dict[str, list[Picture]] = {}
    for group, picture in pictures:
        groups.setdefault(group, []).append(picture)
    return groups


# ----------------------------------------------------------------------------------------- writing


def _written_number(value: float | None, nothing: str = "–") -> str:  # noqa: RUF001  # a dash
    """Write a number to three digits; a dash where there is none."""
    if value is None or math.isnan(value):
        return nothing
    return f"{value:.3g}"


def _as_json(value: Any) -> Markup:
    """Write data for a script, so that nothing in it can end the element it stands in."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)  # nothing of HTML is left in it
