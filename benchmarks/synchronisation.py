"""Whether a step makes the host wait for the CUDA device."""

import warnings

import torch

from benchmarks.bench import Sides
from benchmarks.pairs import Side, Turn


def count_synchronisations(sides: Sides) -> tuple[str, ...]:
    """Say how often each side waits within a step, as far as torch's sync debug mode sees it.

    Counted as warnings, because an error inside a hook may be caught by the collector; then the
    step is taken once more with errors, as a user would check it.
    """
    counts = [_warned(side) for side in (sides.plain, sides.other)]
    if None in counts:
        return ()
    said = f"waits for the device in a step: plain {counts[0]}, instrumented {counts[1]}"
    reason = _raised(sides.other)
    return (said, f"sync debug mode raises: {reason}") if reason else (said,)


def _warned(turn: Turn) -> int | None:
    if not isinstance(turn, Side):
        return None
    with turn.around(), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        turn.step()
        caught.clear()
        _step_in_mode(turn, "warn")
        return sum("synchronizing" in str(warning.message) for warning in caught)


def _raised(turn: Turn) -> str:
    if not isinstance(turn, Side):
        return ""
    with turn.around():
        turn.step()
        try:
            _step_in_mode(turn, "error")
        except RuntimeError as error:
            return str(error).splitlines()[0]
    return ""


def _step_in_mode(side: Side, mode: str) -> None:
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode(mode)
    try:
        side.step()
    finally:
        torch.cuda.set_sync_debug_mode("default")
