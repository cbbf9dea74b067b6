"""Write results to a file: whole or not at all, and not over what sppkit did not write."""

import re
from pathlib import Path

from sppkit.errors import OutputError
from sppkit.files import check_is_free, replace

_SIGNS = re.compile(
    rb"sppkit \d[\w.]*: \d+ target"  # text, concise, github, markdown
    rb"|<testsuites name=.sppkit \d"  # junit
    rb'|"driver": \{\s*"name": "sppkit"'  # sarif
    rb'|^\[?\s*\{\s*"schema": \d+,\s*"target":'  # json
    rb'|"check_name": "(SPP\d|sppkit)'  # gitlab
    rb"|^(\[\]\s*)?$"  # gitlab without an entry, or an empty file
)


def check_output_file(place: Path, *, force: bool) -> None:
    """Refuse a path before the work is done.

    Raises:
        OutputError: it cannot be written, or holds something else.
    """
    check_is_free(place)
    if place.exists() and not force and not written_by_sppkit(place):
        raise OutputError(
            f"'{place}' exists and was not written by sppkit, so it is left alone. Choose another "
            "path, or replace it with --force."
        )


def written_by_sppkit(place: Path) -> bool:
    """Tell whether a file holds results that sppkit wrote, in any format."""
    return bool(_SIGNS.search(place.read_bytes()))


def write_results(place: Path, text: str) -> None:
    """Write a text, as UTF-8.

    Raises:
        OutputError: it cannot be written.
    """
    replace(place, text.encode("utf-8", "backslashreplace"))
