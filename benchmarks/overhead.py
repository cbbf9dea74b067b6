"""The report on overhead: ratios to the plain step."""

from collections.abc import Iterable, Mapping, Sequence

from benchmarks.measurement import Measurement
from benchmarks.report import Report
from benchmarks.spread import Spread

COLUMNS = (
    "workload",
    "variant",
    "kernel",
    "pairs x steps",
    "plain ms",
    "ratio",
    "95 % interval",
    "min-max",
    "wall ratio",
    "note",
)

REMARKS = (
    "Ratio: processor time of instrumented steps over plain ones, median over pairs in turns.",
    "The interval is that of the median; the wall ratio has it in brackets.",
)


def overhead_report(measurements: Sequence[Measurement], facts: Mapping[str, str]) -> Report:
    """Lay out what was measured."""
    return Report(
        "What recording costs",
        facts,
        COLUMNS,
        [overhead_row(measurement) for measurement in measurements],
        [overhead_record(measurement) for measurement in measurements],
        [*REMARKS, *_commands(measurements)],
    )


def overhead_row(measurement: Measurement) -> list[str]:
    """Write a measurement for people."""
    named = [measurement.workload, measurement.variant, measurement.kernel]
    notes = "; ".join(measurement.notes)
    ratio, wall = measurement.processor_ratio, measurement.wall_ratio
    if ratio is None or wall is None:
        return [*named, "", "", str(measurement.status), "", "", "", notes]
    return [
        *named,
        f"{measurement.pairs} x {measurement.steps}",
        f"{measurement.plain_step:.4g}",
        f"{ratio.median:.3f}",
        _between(ratio.low, ratio.high),
        _between(ratio.minimum, ratio.maximum),
        f"{wall.median:.3f} [{_between(wall.low, wall.high)}]",
        notes,
    ]


def overhead_record(measurement: Measurement) -> dict[str, object]:
    """Write a measurement for programs."""
    return {
        "workload": measurement.workload,
        "variant": measurement.variant,
        "status": str(measurement.status),
        "kernel": measurement.kernel,
        "pairs": measurement.pairs,
        "steps": measurement.steps,
        "plain_step_milliseconds": measurement.plain_step,
        "plain_wall_step_milliseconds": measurement.plain_wall_step,
        **_spread_columns("ratio", measurement.processor_ratio),
        **_spread_columns("wall_ratio", measurement.wall_ratio),
        "notes": "; ".join(measurement.notes),
        "command": measurement.command,
    }


def _spread_columns(name: str, spread: Spread | None) -> dict[str, float | None]:
    values: Iterable[float | None] = spread or (None,) * len(Spread._fields)
    return {f"{name}_{field}": value for field, value in zip(Spread._fields, values, strict=True)}


def _between(low: float, high: float) -> str:
    """Write a range; ends that are not known stay open.

    >>> _between(1.0, 1.25), _between(float("nan"), float("nan"))
    ('1.000-1.250', '?')
    """
    return f"{low:.3f}-{high:.3f}" if low == low else "?"


def _commands(measurements: Sequence[Measurement]) -> list[str]:
    commands = (m.command for m in measurements if m.command)
    return [f"`{command}`" for command in dict.fromkeys(commands)]
