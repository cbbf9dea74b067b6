"""Where a recording may be written: `Recording.save` itself replaces any file."""

from pathlib import Path

from sppkit.errors import OutputError, RecordingError
from sppkit.files import check_is_free
from sppkit.recording import read


def check_recording_destination(place: Path, *, force: bool) -> None:
    """Refuse a path before the work is done.

    Raises:
        OutputError: it does not end in .parquet, cannot be written, or holds something else.
    """
    if place.suffix != ".parquet":
        raise OutputError(f"'{place}' must end in .parquet: that is the format of recordings.")
    check_is_free(place)
    if place.exists() and not force and not _is_recording(place):
        raise OutputError(
            f"'{place}' exists and is no recording of sppkit, so it is left alone. Choose another "
            "path, or replace it with --force."
        )


def _is_recording(place: Path) -> bool:
    try:
        read(place)
    except RecordingError:
        return False
    return True
