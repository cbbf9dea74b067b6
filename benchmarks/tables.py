"""Results as reports: what is a column, and how a number is written."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from benchmarks.measurement import Measurement, Overhead
from benchmarks.memory import Memory
from benchmarks.profile import Share
from benchmarks.reads import Read
from benchmarks.report import Report
from benchmarks.spread import Spread

PROGRAM = "python -m benchmarks"
MEBIBYTE = 2**20
SHOWN_SHARES = 40
SIGNALS = ("activation", "gradient", "weight", "weight gradient")

Facts = Mapping[str, str]


def overhead_report(measurements: Sequence[Overhead], facts: Facts) -> Report:
    """Lay out ratios to the plain step."""
    columns = ("pairs x steps", "plain ms", "ratio", "95 %", "min-max", "wall ratio", "wall 95 %")
    remarks = (
        "Ratio: processor time of an instrumented step over that of a plain one, the median of "
        "pairs that took turns, with its 95 % interval and the extremes.",
        f"Rows: of the table, left by one recorded step: {' / '.join(SIGNALS)} (and others).",
    )
    return _report("run", "What recording costs", measurements, facts, columns, _times, remarks)


def _times(measurement: Overhead) -> tuple[list[str], dict[str, object]]:
    timing = measurement.result
    if timing is None:
        return [], {}
    step, ratio, wall = timing.plain_step, timing.processor_ratio, timing.wall_ratio
    cells = [f"{len(timing.pairs)} x {timing.steps}", f"{1e3 * step.processor:.4g}"]
    cells += [f"{ratio.median:.3f}", between(ratio), f"{ratio.minimum:.3f}-{ratio.maximum:.3f}"]
    cells += [f"{wall.median:.3f}", between(wall)]
    record = {
        "pairs": len(timing.pairs),
        "steps": timing.steps,
        "plain_step_seconds": step.processor,
        "plain_step_wall_seconds": step.wall,
        **_spread_record("ratio", ratio),
        **_spread_record("wall_ratio", wall),
    }
    return cells, record


def memory_report(measurements: Sequence[Measurement[Memory]], facts: Facts) -> Report:
    """Lay out peaks of memory."""
    columns = ("plain MiB", "peak MiB", "beyond MiB", "beyond %", "objects MiB", "kept KiB")
    remarks = (
        "Peak: of all tensors alive at a time within a step, parameters and batch included, "
        "allocation by allocation.",
        "Objects: peak of Python objects and numpy arrays within a step; kept: what of them one "
        "step (ten steps where one in ten is recorded) leaves behind, the rows of the table.",
    )
    return _report(
        "memory", "What recording takes of memory", measurements, facts, columns, _sizes, remarks
    )


def _sizes(measurement: Measurement[Memory]) -> tuple[list[str], dict[str, object]]:
    memory = measurement.result
    if memory is None:
        return [], {}
    plain, other, beyond = memory.plain, memory.other, memory.beyond
    percent = 100 * beyond / plain.tensors
    cells = [f"{size / MEBIBYTE:.2f}" for size in (plain.tensors, other.tensors, beyond)]
    cells += [f"{percent:.2f}", f"{other.objects / MEBIBYTE:.2f}", f"{other.kept / 1024:.0f}"]
    record: dict[str, object] = {
        "plain_bytes": plain.tensors,
        "peak_bytes": other.tensors,
        "beyond_bytes": beyond,
        "beyond_percent": percent,
        "object_bytes": other.objects,
        "kept_bytes": other.kept,
    }
    return cells, record


def profile_report(measurement: Measurement[list[Share]], facts: Facts) -> Report:
    """Lay out where the time goes."""
    request, shares = measurement.request, measurement.result or []
    total = sum(share.own for share in shares)
    longer = sum(share.own for share in shares if share.own > 0)  # others vary from run to run
    cells = [
        (f"{s.own:.3f}", f"{100 * s.own / longer:.1f}", f"{s.calls:.1f}", s.function)
        for s in shares[:SHOWN_SHARES]
    ]
    return Report(
        f"Where the time goes: {request.workload}, {request.variant}, {measurement.kernel}",
        facts,
        ("own ms", "%", "calls", "function"),
        cells,
        [share._asdict() for share in shares],
        [
            f"A step takes {total:.2f} ms more than a plain one, under a profiler that makes calls "
            "of Python functions dear. Own: without what a function calls. %: of all that take "
            "longer.",
            f"Again: `{PROGRAM} profile {request.what} {request.how}`",
            *measurement.notes,
        ],
    )


def reads_report(reads: Sequence[Read], facts: Facts, command: str) -> Report:
    """Lay out what reads cost."""
    columns = ("tensor", "kernel", "sum us", "sum GB/s", "base", "95 %", "extended", "95 %")
    cells = [
        (
            *(read.case, read.kernel, f"{1e6 * read.total:.4g}"),
            f"{read.size / read.total / 1e9:.3g}",
            *(f"{read.base.median:.2f}", between(read.base, 2)),
            *(f"{read.extended.median:.1f}", between(read.extended, 1)),
        )
        for read in reads
    ]
    records = [
        {
            **{"case": read.case, "kernel": read.kernel, "bytes": read.size},
            "sum_seconds": read.total,
            **_spread_record("base", read.base),
            **_spread_record("extended", read.extended),
            "command": command,
        }
        for read in reads
    ]
    remarks = [
        "Base and extended: time of `summarize` in multiples of `torch.sum` of the same tensor, "
        "the median of rounds with its 95 % interval.",
        f"Again: `{command}`",
    ]
    return Report("What a read costs", facts, columns, cells, records, remarks)


def _report(
    command: str,
    title: str,
    measurements: Sequence[Measurement[Any]],
    facts: Facts,
    columns: Sequence[str],
    numbers: Any,
    remarks: Iterable[str],
) -> Report:
    """Lay out measurements: what was measured, numbers, and notes below the table."""
    notes = list(dict.fromkeys(note for m in measurements for note in m.notes))
    cells, records = [], []
    for m in measurements:
        written, record = numbers(m)
        marks = " ".join(f"[{notes.index(note) + 1}]" for note in m.notes)
        written = written or [str(m.status), *[""] * (len(columns) - 1)]
        cells.append([m.request.workload, m.request.variant, m.kernel, *written, _rows(m), marks])
        records.append({**_asked(m), **record, **_told(m, command)})
    how = dict.fromkeys(m.request.how for m in measurements)
    again = [f"`{PROGRAM} {command} -w WORKLOAD -v VARIANT --kernel KERNEL {h}`" for h in how]
    return Report(
        title,
        facts,
        ("workload", "variant", "kernel", *columns, "rows", "notes"),
        cells,
        records,
        [
            *remarks,
            f"A row again: {', '.join(again)}",
            *(f"[{number}] {note}" for number, note in enumerate(notes, 1)),
        ],
    )


def _asked(measurement: Measurement[Any]) -> dict[str, object]:
    request = measurement.request
    return {
        "workload": request.workload,
        "variant": request.variant,
        "kernel_asked": request.kernel,
        "kernel": measurement.kernel,
        "status": str(measurement.status),
    }


def _told(measurement: Measurement[Any], command: str) -> dict[str, object]:
    request = measurement.request
    return {
        "rows": ", ".join(f"{count} {signal}" for signal, count in measurement.rows.items()),
        "notes": "; ".join(measurement.notes),
        "command": f"{PROGRAM} {command} {request.what} {request.how}",
    }


def _rows(measurement: Measurement[Any]) -> str:
    rows = measurement.rows
    if not rows:
        return ""
    others = sum(count for signal, count in rows.items() if signal not in SIGNALS)
    usual = "/".join(str(rows.get(signal, 0)) for signal in SIGNALS)
    return f"{usual}+{others}" if others else usual


def _spread_record(name: str, spread: Spread) -> dict[str, object]:
    return {f"{name}_{field}": value for field, value in spread._asdict().items()}


def between(spread: Spread, digits: int = 3) -> str:
    """Write an interval.

    >>> nan = float("nan")
    >>> between(Spread(1.0, 0.99, 1.01, 0.9, 1.2)), between(Spread(1.0, nan, nan, 0.9, 1.2))
    ('0.990-1.010', 'too few')
    """
    if spread.low != spread.low:
        return "too few"
    return f"{spread.low:.{digits}f}-{spread.high:.{digits}f}"
