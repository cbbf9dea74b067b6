"""Settings from files: `sppkit.toml`, and `[tool.sppkit]` in `pyproject.toml`.

A file gives values to flags, and names the models that `sppkit check` checks. Nothing in it is
evaluated: a target it names is run when a command measures it, as if it had been typed.

`files` finds and reads, `keys` knows which flag a key stands for, `configuration` says what applies
to a command, `models` are the configured ones, `origins` tells where each setting came from.
"""

from sppkit.cli.configuration.configuration import Configuration, read_configuration
from sppkit.cli.configuration.models import ConfiguredModel

__all__ = ["Configuration", "ConfiguredModel", "read_configuration"]
