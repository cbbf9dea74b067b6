"""What is printed where: results to stdout; remarks, progress and errors to stderr."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from enum import StrEnum

from rich.console import Console
from rich.text import Text

from sppkit.escaping import one_line, printable

WIDTH = 80


class Color(StrEnum):
    """When to colour what is printed."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


def results(color: Color = Color.AUTO) -> Console:
    """Make the console of results."""
    return _console(color, stderr=False)


def remarks(color: Color = Color.AUTO) -> Console:
    """Make the console of everything else."""
    return _console(color, stderr=True)


def print_error(message: str, color: Color | None = None) -> None:
    """Print an error."""
    text = Text.assemble(("error:", "bold red"), " ", printable(message))
    remarks(color or Color.AUTO).print(text, soft_wrap=True)


def print_remark(message: str, color: Color | None = None) -> None:
    """Print a remark, in one line."""
    remarks(color or Color.AUTO).print(Text(one_line(message)), soft_wrap=True)


@contextmanager
def prints_to_stderr() -> Iterator[None]:
    """Let what a person's code prints go to stderr: results, for programs too, go to stdout."""
    with redirect_stdout(sys.stderr):
        yield


@contextmanager
def progress_bar(
    name: str, steps: int, *, shown: bool, color: Color = Color.AUTO
) -> Iterator[Callable[[int], None]]:
    """Show a bar on stderr while the block runs, on a terminal only; yield what advances it."""
    if not (shown and steps > 0 and sys.stderr.isatty()):
        yield lambda _: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    name_column = TextColumn("{task.fields[name]}", markup=False)
    columns = (name_column, BarColumn(), MofNCompleteColumn(), TextColumn("seeds"))
    with Progress(
        *columns, TextColumn("seeds"), console=remarks(color), transient=True
    ) as progress:
        task = progress.add_task("", total=steps, name=one_line(name))

        def advance(_: int) -> None:
            progress.advance(task)
            done = progress.tasks[0].completed
            progress.update(task, total=max(steps, done))  # a check may draw more seeds

        yield advance


class _Console(Console):
    def on_broken_pipe(self) -> None:
        raise BrokenPipeError  # rich would end the program with an exit code of its own


def _console(color: Color, *, stderr: bool) -> Console:
    if color is Color.AUTO:  # rich looks at the terminal and at NO_COLOR
        return _Console(stderr=stderr, highlight=False, markup=False)
    always = color is Color.ALWAYS
    return _Console(
        stderr=stderr, highlight=False, markup=False, force_terminal=always, no_color=not always
    )
