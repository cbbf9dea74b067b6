"""The command line: each command parses, calls the library, and prints.

`flags` are shared by the commands, `commands` end each of them with an exit code, `console` says
what goes to which stream. Nothing here imports torch, pandas or matplotlib before a command needs
it, so that help answers at once.
"""

from sppkit.cli.application import app, main

__all__ = ["app", "main"]
