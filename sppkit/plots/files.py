"""Write figures to files: whole or not at all, and never over a file that is not ours."""

import io
import os
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jinja2
import matplotlib as mpl
from matplotlib.animation import FFMpegWriter
from matplotlib.figure import Figure

from sppkit.errors import OutputError
from sppkit.escaping import without_control_characters
from sppkit.files import check_is_free, replace
from sppkit.version import __version__

GENERATOR = f"sppkit {__version__}"
PNG_RESOLUTION = 160  # dots per inch: legible on a screen and at the width of a column

_MARKS = {
    ".png": b"Software\0sppkit ",
    ".svg": b"<dc:title>sppkit ",
    ".pdf": b"/Creator (sppkit ",
    ".html": b'<meta name="generator" content="sppkit ',
    ".gif": b"sppkit ",  # in a comment, behind the colours
    ".mp4": b"sppkit ",  # in a comment among the metadata
}
_ENDS_TO_READ = 8192  # bytes; matplotlib's PDF carries its metadata at the end, others at the start

_SETTINGS: Any = {
    "svg.fonttype": "none",  # text stays text: it can be searched, selected and edited
    "svg.hashsalt": "sppkit",  # equal figures give equal files
    "pdf.fonttype": 42,  # journals refuse matplotlib's default, Type 3
}

_PAGE = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(
    """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="generator" content="{{ generator }}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{{ title }}</title>
<style>
body { font-family: sans-serif; color: #262626; max-width: 80rem; margin: 2rem auto; }
svg { width: 100%; height: auto; }
pre { overflow-x: auto; color: #595959; }
</style>
</head>
<body>
<h1>{{ title }}</h1>
{{ picture | safe }}
{% if description %}
<pre>{{ description }}</pre>
{% endif %}
</body>
</html>
"""
)


def save_figure(
    figure: Figure,
    path: str | os.PathLike[str],
    *,
    force: bool = False,
    title: str = "",
    description: str = "",
) -> Path:
    """Write a figure; the ending of the path chooses the format.

    The file names sppkit in its metadata, appears whole or not at all, and takes the place of an
    earlier one only if sppkit wrote that too. Equal figures give equal files.

    Args:
        figure: any matplotlib figure.
        path: ends in .png, .svg, .pdf or .html (one page without references to other files).
        force: replace whatever file is there.
        title: of the page, in HTML; by default that of the figure.
        description: a text to go with the figure: below it in HTML, in the metadata of a PNG.

    Returns:
        The path.

    Raises:
        OutputError: the ending is unknown, or nothing can be written there.
    """
    place = check_destination(path, force=force)
    with mpl.rc_context(_SETTINGS):
        content = _FORMATS[place.suffix.lower()](figure, title, description)
    replace(place, content)
    return place


def check_destination(
    path: str | os.PathLike[str], *, force: bool = False, animated: bool = False
) -> Path:
    """Refuse a path that could not be written, before the work is done.

    Args:
        path: of the file.
        force: whether a file of others may be replaced.
        animated: whether it is for an animation, not for `save_figure`.

    Raises:
        OutputError: the ending is unknown, or nothing can be written there.
    """
    place = Path(path)
    kind, endings = ("an animation", (".gif", ".mp4")) if animated else ("a figure", _FORMATS)
    if place.suffix.lower() not in endings:
        raise OutputError(
            f"{str(place)!r} has the ending {place.suffix!r}; {kind} can be written as "
            f"{', '.join(endings)}."
        )
    if place.suffix.lower() == ".mp4" and not FFMpegWriter.isAvailable():
        raise OutputError(
            f"{str(place)!r} needs ffmpeg, which is not on the path. Install it, or write a .gif."
        )
    check_is_free(place)
    if place.exists() and not force and not written_by_sppkit(place):
        raise OutputError(
            f"{str(place)!r} exists and was not written by sppkit, so it is left alone. Choose "
            "another path, or replace it with --force (force=True)."
        )
    return place


def written_by_sppkit(path: str | os.PathLike[str]) -> bool:
    """Tell whether a file says in its metadata that sppkit wrote it."""
    place = Path(path)
    mark = _MARKS.get(place.suffix.lower())
    try:
        return mark is not None and any(mark in end for end in _ends(place))
    except OSError:
        return False


def _ends(place: Path) -> tuple[bytes, bytes]:
    with place.open("rb") as file:
        head = file.read(_ENDS_TO_READ)
        file.seek(max(0, place.stat().st_size - _ENDS_TO_READ))
        return head, file.read()


# ----------------------------------------------------------------------------------------- formats


def _png(figure: Figure, title: str, description: str) -> bytes:
    metadata = {"Software": GENERATOR, "Description": description}
    stated = {key: value for key, value in metadata.items() if value}
    return _rendered(figure, "png", metadata=stated, dpi=PNG_RESOLUTION)


def _pdf(figure: Figure, title: str, description: str) -> bytes:
    return _rendered(figure, "pdf", metadata={"Creator": GENERATOR, "CreationDate": None})


def _svg(figure: Figure, title: str, description: str) -> bytes:
    drawn = _rendered(figure, "svg", metadata={"Creator": GENERATOR, "Date": None})
    # names may hold control characters, with which the file would be no XML
    return without_control_characters(drawn.decode()).encode()


def _html(figure: Figure, title: str, description: str) -> bytes:
    drawn = _svg(figure, title, description).decode()
    picture = re.sub(r"<metadata>.*?</metadata>", "", drawn[drawn.index("<svg") :], flags=re.DOTALL)
    page = _PAGE.render(
        generator=GENERATOR,
        title=title or figure.get_suptitle() or "Signal propagation",
        picture=picture,  # safe: matplotlib escaped the texts in it
        description=description,
    )
    return without_control_characters(page).encode()


def _rendered(figure: Figure, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # a name in a script of its own
        figure.savefig(buffer, format=kind, **options)
    return buffer.getvalue()


_FORMATS: dict[str, Callable[[Figure, str, str], bytes]] = {
    ".png": _png,
    ".svg": _svg,
    ".pdf": _pdf,
    ".html": _html,
}
