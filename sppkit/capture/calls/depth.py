"""Tell the calls of a probe from those of a recording that is open around it."""

from collections.abc import Iterator
from contextlib import contextmanager

_depth = 0


def probe_depth() -> int:
    """Count the probes under way; hooks listen at the depth at which they were made."""
    return _depth


@contextmanager
def inside_probe() -> Iterator[None]:
    """Have recordings that are open outside not hear what is called inside the block."""
    global _depth
    _depth += 1
    try:
        yield
    finally:
        _depth -= 1
