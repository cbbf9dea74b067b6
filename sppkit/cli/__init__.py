"""The command line: each command parses, calls the library, and prints.

Each command is a file of its name. `flags` are shared by them, `commands` end each with an exit
code, `console` says what goes to which stream. What `train` needs is in `training`, what is read of
its folders in `runs`, what files of settings say in `configuration`. Nothing here imports torch,
pandas or matplotlib before a command needs it, so that help answers at once.
"""

from sppkit.cli.application import app, main

__all__ = ["app", "main"]
