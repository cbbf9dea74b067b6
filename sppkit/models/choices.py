"""Arguments that are one of a few names."""

from collections.abc import Collection


def require_one_of(argument: str, value: object, choices: Collection[str]) -> None:
    """Raise a ValueError that lists the choices, where the value is none of them."""
    if value not in choices:
        raise ValueError(f"{argument} is one of {', '.join(choices)}; got {value!r}")
