"""The table of layers: what each of them shows, a number for each column and a small curve."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from sppkit.recording import Recording
from sppkit.rules import Diagnosis, Finding
from sppkit.signals import Phase, Signal

WIDTH, HEIGHT = 96.0, 18.0
"""Of a sparkline, in the units of its drawing."""

_MOST_POINTS = 40  # of a sparkline over steps
_MARGIN = 2.0
_KEY = ["run", "layer"]
_OUTPUT_COLUMNS = ("average_channel_variance", "second_moment", "zero_fraction")


@dataclass(frozen=True)
class Column:
    """A column of numbers.

    Attributes:
        name: of the field.
        heading: above it.
        explanation: what it is, for those who point at the heading.
    """

    name: str
    heading: str
    explanation: str


COLUMNS = (
    Column("variance", "variance", "average channel variance of the output"),
    Column("second_moment", "second moment", "mean square of the output"),
    Column("zeros", "zeros", "share of the output's values that are zero"),
    Column("gradient", "gradient", "root mean square of the output's gradient"),
    Column("weight", "weight", "root mean square of the weight"),
    Column("ratio", "gradient / weight", "norm of the weight's gradient over that of the weight"),
)


@dataclass(frozen=True)
class LayerRow:
    """One layer of one run.

    Attributes:
        anchor: id of the row.
        run, layer, layer_type: its names; "the network" for the root.
        place: in order of execution, from 1.
        part: its place in a residual network, such as "block 3".
        numbers: by the names of `COLUMNS`; NaN where there is none.
        is_broken: whether the output held values that are not finite.
        sparkline: points of the curve over steps, for SVG; "" where there is one step.
        dot: place of this layer on the curve over depth; None where there is none.
        findings: numbers of the findings that name it, from 1.
    """

    anchor: str
    run: str
    layer: str
    layer_type: str
    place: int
    part: str
    numbers: Mapping[str, float]
    is_broken: bool
    sparkline: str
    dot: tuple[float, float] | None
    findings: tuple[int, ...]


@dataclass(frozen=True)
class LayerTable:
    """All rows, and the curve over depth of each run, on which their dots lie."""

    rows: tuple[LayerRow, ...]
    depth_curves: Mapping[str, str]

    @property
    def over_steps(self) -> bool:
        """Whether small curves are over steps, not over depth."""
        return any(row.sparkline for row in self.rows)

    def anchors(self) -> dict[str, dict[str, str]]:
        """Give the id of each layer's row, by run and layer."""
        found: dict[str, dict[str, str]] = {}
        for row in self.rows:
            found.setdefault(row.run, {})[row.layer] = row.anchor
        return found


def layer_table(recording: Recording, diagnoses: Sequence[Diagnosis]) -> LayerTable:
    """Lay out every layer that was called, at the last recorded step, means over seeds."""
    table, structure = recording.table(), recording.structure()
    named = _findings_by_layer(diagnoses)
    rows: list[LayerRow] = []
    curves: dict[str, str] = {}
    for number, run in enumerate(recording.runs):
        of_run = table[(table["run"] == run) & (table["operation"].astype(str) == "")]
        layers = structure[(structure["run"] == run) & (structure["operation"] == "")]
        numbers = _numbers(of_run)
        histories = _histories(of_run)
        dots, curves[run] = _over_depth(numbers, layers)
        called = layers[layers["depth"].notna() & layers["layer"].isin(numbers.index)]
        for place, layer in enumerate(called.sort_values("depth").itertuples(), start=1):
            name = str(layer.layer)
            values = numbers.loc[name].to_dict()
            rows.append(
                LayerRow(
                    anchor=f"layer-{number}-{place}",
                    run=run,
                    layer=name,
                    layer_type=str(layer.layer_type),
                    place=place,
                    part=_part(layer),
                    numbers={column.name: float(values[column.name]) for column in COLUMNS},
                    is_broken=bool(values["nonfinite"] > 0),
                    sparkline=_polyline(histories.get(name, [])),
                    dot=dots.get(name),
                    findings=tuple(named.get((run, name), ())),
                )
            )
    return LayerTable(tuple(rows), curves)


def row_of(finding: Finding, run: str, anchors: Mapping[str, Mapping[str, str]]) -> str:
    """Give the id of the row that a finding speaks of: its layer, or the owner of its parameter."""
    known = anchors.get(run, {})
    owner = finding.layer.rpartition(".")[0]
    return known.get(finding.layer) or (known.get(owner, "") if finding.layer else "")


def _findings_by_layer(diagnoses: Sequence[Diagnosis]) -> dict[tuple[str, str], list[int]]:
    found: dict[tuple[str, str], list[int]] = {}
    number = 0
    for diagnosis in diagnoses:
        for finding in diagnosis.findings:
            number += 1
            found.setdefault((diagnosis.target, finding.layer), []).append(number)
    return found


def _part(layer: "object") -> str:
    tap, block = getattr(layer, "tap", ""), getattr(layer, "block", None)
    if not tap or pd.isna(block):
        return ""
    return f"{tap} {block}" if tap != "stem" else "stem"


# ---------------------------------------------------------------------------------------- numbers


def _numbers(table: pd.DataFrame) -> pd.DataFrame:
    """Average over seeds and calls at the last step: a row per layer."""
    last = table[table["step"] == table["step"].max()] if len(table) else table
    outputs = last[last["tensor"].astype(str).isin(["", "0"])]
    main = _main_phase(outputs)
    forward = _means(
        main[main["signal"] == Signal.ACTIVATION], [*_OUTPUT_COLUMNS, "nonfinite_fraction"]
    )
    backward = _means(_loss_phase(outputs, Signal.GRADIENT), ["second_moment"])
    of_weights = last[last["tensor"].astype(str).str.endswith(("weight", "original"))]
    weights = _means(_loss_phase(of_weights, Signal.WEIGHT), ["second_moment"])
    moved = _means(_loss_phase(of_weights, Signal.WEIGHT_GRADIENT), ["norm_to_weight_ratio"])
    return pd.DataFrame(
        {
            "variance": forward["average_channel_variance"],
            "second_moment": forward["second_moment"],
            "zeros": forward["zero_fraction"],
            "nonfinite": forward["nonfinite_fraction"],
            "gradient": np.sqrt(backward["second_moment"]),
            "weight": np.sqrt(weights["second_moment"]),
            "ratio": moved["norm_to_weight_ratio"],
        }
    )


def _means(rows: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    groups = rows.astype({"layer": "object"}).groupby("layer")[columns]
    means = groups.mean()
    return means.where(groups.count().eq(groups.size(), axis=0))


def _main_phase(rows: pd.DataFrame) -> pd.DataFrame:
    for phase in (Phase.PROBE, Phase.TRAIN, Phase.EVAL):
        if (rows["phase"] == phase).any():
            return rows[rows["phase"] == phase]
    return rows


def _loss_phase(rows: pd.DataFrame, signal: Signal) -> pd.DataFrame:
    """Keep a signal, of the pass under a training loss where there is one."""
    rows = rows[rows["signal"] == signal]
    under_loss = rows[rows["phase"] == Phase.LOSS]
    return under_loss if len(under_loss) else _main_phase(rows)


# ------------------------------------------------------------------------------------ small curves


def _histories(table: pd.DataFrame) -> dict[str, list[float]]:
    """Give log10 of the second moment over the recorded steps, by layer."""
    rows = table[(table["signal"] == Signal.ACTIVATION) & (table["phase"] == Phase.TRAIN)]
    if rows["step"].nunique() < 2:
        return {}
    with np.errstate(divide="ignore", invalid="ignore"):
        rows = rows.assign(value=np.log10(rows["second_moment"].to_numpy(float)))
    wide = rows.astype({"layer": "object"}).pivot_table(
        "value", "layer", "step", aggfunc=lambda v: v.mean(skipna=False), dropna=False
    )
    kept = np.linspace(0, wide.shape[1] - 1, min(wide.shape[1], _MOST_POINTS)).round().astype(int)
    return {
        str(name): list(values)
        for name, values in zip(wide.index, wide.to_numpy()[:, kept], strict=True)
    }


def _over_depth(
    numbers: pd.DataFrame, layers: pd.DataFrame
) -> tuple[dict[str, tuple[float, float]], str]:
    """Place every layer on the curve of the second moment over depth."""
    order = layers[layers["depth"].notna()].sort_values("depth")["layer"]
    moments = numbers["second_moment"].to_dict()
    known = [(str(name), float(moments.get(name, np.nan))) for name in order]
    logs = [math.log10(v) if v > 0 and math.isfinite(v) else math.nan for _, v in known]
    placed = _scaled(logs)
    curve = " ".join(f"{x:g},{y:g}" for x, y in placed if not math.isnan(y))
    dots = {n: p for (n, _), p in zip(known, placed, strict=True) if not math.isnan(p[1])}
    return dots, curve


def _polyline(logarithms: Sequence[float]) -> str:
    placed = _scaled([v if math.isfinite(v) else math.nan for v in logarithms])
    return " ".join(f"{x:g},{y:g}" for x, y in placed if not math.isnan(y))


def _scaled(logarithms: Sequence[float]) -> list[tuple[float, float]]:
    """Fit values into the sparkline, which is half a decade high at least."""
    finite = [value for value in logarithms if not math.isnan(value)]
    if not finite:
        return [(0.0, math.nan)] * len(logarithms)
    middle, span = (max(finite) + min(finite)) / 2, max(max(finite) - min(finite), 0.5)
    step = (WIDTH - 2 * _MARGIN) / max(len(logarithms) - 1, 1)
    return [
        (
            round(_MARGIN + step * k, 1),
            round(HEIGHT / 2 - (value - middle) / span * (HEIGHT - 2 * _MARGIN), 1),
        )
        for k, value in enumerate(logarithms)
    ]
