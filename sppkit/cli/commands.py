"""How a command ends: with its result, or with one clear message and an exit code.

0 passed; 1 findings; 2 usage, configuration or model error; 5 nothing was observed; 130 Ctrl-C;
141 the reader of a pipe went away, as any tool of Unix.
"""

import os
import shlex
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from sppkit.cli.configuration import read_configuration
from sppkit.cli.configuration.keys import measures, options_by_key, trains, variable_of
from sppkit.cli.console import print_error, print_remark
from sppkit.cli.usage import UsageError
from sppkit.errors import ConfigurationError, NothingObservedError, SppkitError
from sppkit.files import cannot_be_written

USAGE_OR_MODEL_ERROR = 2
NOTHING_OBSERVED = 5
INTERRUPTED = 130
PIPE_CLOSED = 141

_TYPED = "sppkit.typed"
_PACKAGE = Path(__file__).parents[1]
_NO_MEMORY = ("out of memory", "can't allocate memory", "cannot allocate memory")


class Commands(TyperGroup):
    """The group of all commands; says what is wrong with flags in the words of other errors."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run a command line and leave with its exit code."""
        try:
            code = super().main(args, prog_name, complete_var, False, windows_expand_args, **extra)
        except typer.Abort:
            code = INTERRUPTED
        except Exception as error:
            if not isinstance(error, UsageError):
                raise
            print_error(error.format_message().replace("Value error, ", ""))  # of pydantic
            if error.ctx is not None:
                print_remark(f"See '{error.ctx.command_path} --help'.")
            code = error.exit_code
        if standalone_mode:
            sys.exit(code or 0)  # None: a command returned
        return code


class ReportingCommand(TyperCommand):
    """A command whose errors are told in one message; `--verbose` adds the traceback.

    Flags get their values from the command line, else from SPPKIT_* variables of the environment,
    else from configuration files, else from their defaults.
    """

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        for key, option in options_by_key(self.params).items():
            option.envvar, option.show_envvar = variable_of(key), False

    def parse_args(self, ctx: Any, args: list[str]) -> Any:
        """Read the flags; where the command measures or trains, files give their defaults."""
        ctx.meta[_TYPED] = list(args)
        reads_files = measures(self) or trains(self)
        if reads_files and not set(ctx.help_option_names) & set(args):
            try:
                ctx.obj = read_configuration(ctx)
            except ConfigurationError as error:
                print_error(str(error))
                raise typer.Exit(USAGE_OR_MODEL_ERROR) from error
            ctx.default_map = {name: each.value for name, each in ctx.obj.flags.items()}
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            result = super().invoke(ctx)
            if sys.stdout is not None:  # it was closed before the program began
                sys.stdout.flush()
            return result
        except BrokenPipeError:
            _silence_stdout()
            raise typer.Exit(PIPE_CLOSED) from None
        except KeyboardInterrupt:
            further = " Go on by the same command with --resume." if trains(self) else ""
            print_error(f"interrupted.{further}", color=ctx.params.get("color"))
            raise typer.Exit(INTERRUPTED) from None
        except (Exception, SystemExit) as error:
            if isinstance(error, typer.Exit | typer.Abort | UsageError):
                raise
            if ctx.params.get("verbose"):
                traceback.print_exception(error)
            print_error(describe(error), color=ctx.params.get("color"))
            code = NOTHING_OBSERVED if isinstance(error, NothingObservedError) else None
            raise typer.Exit(code or USAGE_OR_MODEL_ERROR) from error

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the help of the flags, each group below its title."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            title = getattr(parameter, "rich_help_panel", None) or "Options"
            name, explained = parameter.get_help_record(ctx) or ("", "")
            if parameter.param_type_name == "argument":
                title, name = "Arguments", parameter.metavar or ""  # without a type of Python
            sections.setdefault(title, []).append((name, explained))
        for title, records in sections.items():
            with formatter.section(title):
                formatter.write_dl(records)


def typed_command(context: Any) -> str:
    """Give the command line as it was typed, for a shell."""
    return shlex.join(["sppkit", str(context.info_name), *context.meta[_TYPED]])


def describe(error: BaseException) -> str:
    """Say what happened and what to do about it."""
    if lacking := _lack_of_memory(error):
        return (
            f"out of memory: {lacking}. Use a smaller batch (-b 2), a smaller input (-s), or "
            "another device (--device cpu)."
        )
    if isinstance(error, OSError) and _failed_to_print(error):
        return f"standard output {cannot_be_written(error)}"
    if isinstance(error, SystemExit):
        return f"the model's code ended the program (exit code {error.code}) while it was probed."
    if isinstance(error, SppkitError) or (isinstance(error, ValueError) and _is_ours(error)):
        return str(error)
    return (
        f"unexpected {type(error).__name__}: {str(error).rstrip('.')}. Run again with --verbose "
        "and report what it shows."
    )


def _is_ours(error: BaseException) -> bool:
    """Say whether sppkit itself raised an error: a check of an argument, not a surprise."""
    frames = traceback.extract_tb(error.__traceback__)
    return bool(frames) and Path(frames[-1].filename).is_relative_to(_PACKAGE)


def _lack_of_memory(error: BaseException | None) -> str | None:
    """Return the first line of the cause that speaks of memory, from the error or its causes."""
    while error is not None:
        text = (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
        is_message_of_torch = isinstance(error, RuntimeError) and any(
            words in text.lower() for words in _NO_MEMORY
        )
        if isinstance(error, MemoryError) or is_message_of_torch:
            return text
        error = error.__cause__
    return None


def _failed_to_print(error: OSError) -> bool:
    """Say whether it was stdout that could not be written, as on a full disk."""
    frames = traceback.extract_tb(error.__traceback__)
    last = Path(frames[-1].filename) if frames else Path()
    return last == Path(__file__) or bool({"rich", "click", "typer"} & set(last.parts))


def _silence_stdout() -> None:
    """Let the interpreter flush into nothing: it would complain about the pipe when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
