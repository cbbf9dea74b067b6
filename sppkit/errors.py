"""What can go wrong, in classes that a caller can tell apart.

Arguments of the wrong type or value raise `TypeError` or `ValueError`; these classes are for
states of the world: a file that is not there, a model that does not run. Every message names the
thing, what was received, what was expected, and the next step. The command line prints the message
alone and leaves with exit code 2 (5 for `NothingObservedError`).
"""


class SppkitError(Exception):
    """The base of every error that sppkit raises on purpose."""


class TargetError(SppkitError):
    """A target (`model.py`, `ref:NAME`, ...) does not lead to a model."""


class ProbeError(SppkitError):
    """A model could not be run on the probe's input."""


class RecordingError(SppkitError):
    """A recording cannot be read, written or combined."""


class DataError(SppkitError):
    """Data for training cannot be found, read, or does not fit the network."""


class TrainingError(SppkitError):
    """A network cannot be trained as asked: its loss has no gradient, its run is another one."""


class OutputError(SppkitError):
    """A figure or a file cannot be written where it was asked for."""


class ConfigurationError(SppkitError):
    """A configuration file cannot be read, or says something that has no meaning."""


class BaselineError(SppkitError):
    """A baseline is missing, or is none of what it would be compared with."""


class LibraryError(SppkitError, ImportError):
    """The library that an integration is for is missing, or cannot be imported."""


class NothingObservedError(SppkitError):
    """A recording holds no row to draw or to judge: a tool that saw nothing has no answer."""
