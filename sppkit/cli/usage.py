"""What typer raises for wrong flags: the class itself moved between its versions."""

from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class UsageError(Protocol):
    """An error about flags."""

    exit_code: int
    ctx: Any

    def format_message(self) -> str:
        """Say what is wrong."""
        ...
