"""Rows of a recording that another tool has measured: what it did not say is not known here."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sppkit.recording import STATISTIC_COLUMNS, Recording, not_captured_entry
from sppkit.row_store import RowStore
from sppkit.signals import Phase, Role, Signal, Tap
from sppkit.table import STRUCTURE_COLUMNS
from sppkit.version import __version__

UNKNOWN = 0
"""Number of samples, channels and passes of a tensor that nobody has counted."""


UNBIASED = "variance over n - 1"
"""The flag of rows whose variances are torch's default, where ours are divided by n."""

_USUAL: dict[str, Any] = {
    **dict.fromkeys(("seed", "rank", "step", "call"), 0),
    **dict.fromkeys(("passes", "batch", "channels", "samples"), UNKNOWN),
    **dict.fromkeys(("operation", "tensor", "layer_type", "dtype", "flags"), ""),
    "phase": Phase.PROBE,
    "signal": Signal.ACTIVATION,
    "role": Role.LEAF,
    "tap": Tap.NONE,
    "block": None,
}


def row(layer: str, depth: int, statistics: Mapping[str, float], **place: Any) -> dict[str, Any]:
    """Make a row of `Recording.table`: the activation of a leaf, where `place` does not differ."""
    return {**_USUAL, "layer": layer, "depth": depth, **place, **statistics}


def recording_of(
    rows: Sequence[Mapping[str, Any]],
    run: str,
    source: str,
    *,
    remarks: Iterable[str] = (),
    not_captured: Iterable[tuple[str, str, str]] = (),
    **metadata: Any,
) -> Recording:
    """Make a recording.

    Args:
        rows: as `row` makes them.
        run: its name.
        source: which tool has measured.
        remarks: what a reader must know.
        not_captured: layer, signal and reason of what is missing.
        **metadata: further entries of the metadata.
    """
    store = RowStore(STATISTIC_COLUMNS)
    store.append_rows([{"run": run, **each} for each in rows])
    said = {
        "imported_from": source,
        "versions": {"sppkit": __version__},
        "recorded_steps": len({each["step"] for each in rows}),
        "signals": sorted({str(each["signal"]) for each in rows}),
        "remarks": list(remarks),
        "not_captured": [not_captured_entry(run, *missing) for missing in not_captured],
        **metadata,
    }
    recording = Recording((), _structure(rows, run), {run: said})
    recording._rows = store
    return recording


def _structure(rows: Sequence[Mapping[str, Any]], run: str) -> list[dict[str, Any]]:
    layers = {each["layer"]: each for each in reversed(rows) if each["role"] != Role.PARAMETER}
    known = ("layer", "operation", "layer_type", "depth", "tap", "block")
    return [
        {
            **dict.fromkeys(STRUCTURE_COLUMNS),
            **{name: each[name] for name in known},
            "run": run,
            "role": each["role"],
        }
        for each in reversed(layers.values())
    ]
