"""Write files: whole or not at all."""

import errno
import os
import secrets
from pathlib import Path

from sppkit.errors import OutputError


def check_is_free(place: Path) -> None:
    """Refuse a path whose folder or own permissions forbid to write it.

    Raises:
        OutputError: with the reason.
    """
    if place.is_dir():
        raise OutputError(f"{str(place)!r} is a folder. Give the path of a file in it.")
    if not place.parent.is_dir():
        raise OutputError(
            f"there is no folder {str(place.parent)!r} to write {place.name!r} to. Make it first."
        )
    forbidden = [p for p in (place, place.parent) if p.exists() and not os.access(p, os.W_OK)]
    if forbidden:
        raise OutputError(
            f"{str(place)!r} cannot be written: {str(forbidden[0])!r} is read-only. Choose another "
            "path, or change its permissions."
        )


def replace(place: Path, content: bytes) -> None:
    """Write beside the place and rename: a reader sees the old file or the new one.

    Raises:
        OutputError: it cannot be written.
    """
    target = place.resolve()  # a link keeps pointing where it does
    temporary = target.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        try:
            with temporary.open("xb") as file:
                file.write(content)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"{str(place)!r} {cannot_be_written(error)}") from error


def cannot_be_written(error: OSError) -> str:
    """Say why something cannot be written, and what to do.

    >>> cannot_be_written(OSError(errno.ENOSPC, "No space left on device"))
    'cannot be written: No space left on device. Free some, or give a path elsewhere.'
    """
    is_full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    remedy = "Free some, or give a path elsewhere" if is_full else "Give a path you may write to"
    return f"cannot be written: {error.strerror or error}. {remedy}."
