"""Say in one line what went wrong in code that sppkit did not write, and where."""

import difflib
import linecache
import sysconfig
import traceback
from collections.abc import Iterable
from pathlib import Path

_LONGEST_TEXT = 400  # characters of a quoted error or line: torch adds whole C++ stacks to some


def did_you_mean(name: str, options: Iterable[str]) -> str:
    """Return " Did you mean '...'?" for the option nearest to `name`, or an empty text."""
    spelled = {option.lower(): option for option in options}
    nearest = difflib.get_close_matches(name.lower(), spelled, n=1, cutoff=0.5)
    return f" Did you mean '{spelled[nearest[0]]}'?" if nearest else ""


def describe_exception(error: BaseException, inside: Path | None = None) -> str:
    """Describe an exception in one line, with the line of the user's code that led to it.

    The line is the deepest one within the folder of `inside` (a file or a folder) that belongs
    neither to Python, to an installed package, nor to sppkit, unless `inside` itself does.

    Returns:
        For example "TypeError: missing argument 'width' (net.py, line 12: `self.fc = Linear()`)".
    """
    text = _one_line(error.msg if isinstance(error, SyntaxError) else str(error))
    described = f"{type(error).__name__}: {text}" if text else type(error).__name__
    place = _fault(error, inside) if inside else None
    if place is None:
        return described
    file, number = place
    linecache.checkcache(file)  # the file may have been edited since it was last quoted
    line = _one_line(linecache.getline(file, number))
    quoted = f": `{line}`" if line else ""
    return f"{described} ({_shown_path(Path(file))}, line {number}{quoted})"


def _fault(error: BaseException, inside: Path) -> tuple[str, int] | None:
    if isinstance(error, SyntaxError) and error.filename and error.lineno:
        return error.filename, error.lineno
    folder = (inside if inside.is_dir() else inside.parent).resolve()
    frames = [(f.f_code.co_filename, n) for f, n in traceback.walk_tb(error.__traceback__)]
    users = [(file, number) for file, number in frames if _is_users(file, folder)]
    return users[-1] if users else None


def _is_users(file: str, folder: Path) -> bool:
    path = Path(file)
    if not path.is_relative_to(folder):
        return False
    others = [Path(__file__).parents[1], Path(sysconfig.get_path("stdlib"))]
    installed = {"site-packages", "dist-packages"} & set(path.relative_to(folder).parts)
    return not installed and not any(
        path.is_relative_to(other) and not folder.is_relative_to(other) for other in others
    )


def _shown_path(path: Path) -> str:
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else path.name


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_TEXT else f"{line[:_LONGEST_TEXT]} ..."
