"""What `sppkit doctor` finds: facts about this machine, and about what was observed of a model."""

import importlib
import os
import platform
from collections.abc import Iterator

import pandas as pd
import torch

from sppkit.errors import NothingObservedError
from sppkit.kernels import native
from sppkit.recording import Recording
from sppkit.signals import Role, Signal, Tap
from sppkit.user_code import describe_exception
from sppkit.version import __version__

Fact = tuple[str, str]

OPTIONAL_LIBRARIES = ("timm", "torchvision", "transformers")


def facts_of_machine() -> list[Fact]:
    """Say which versions, devices and optional libraries there are."""
    return [
        ("sppkit", __version__),
        ("python", f"{platform.python_version()} on {platform.platform(terse=True)}"),
        ("torch", torch.__version__),
        ("cpu", f"{os.cpu_count()} cores, torch uses {torch.get_num_threads()} of them"),
        ("reads on the cpu", native.description()),
        ("cuda", _cuda()),
        ("mps", "available" if torch.backends.mps.is_available() else "not available"),
        *((library, _library(library)) for library in OPTIONAL_LIBRARIES),
    ]


def facts_of_recording(recording: Recording) -> list[Fact]:
    """Say what was observed of each run.

    Raises:
        NothingObservedError: no activation was recorded.
    """
    table, structure = recording.table(), recording.structure()
    activations = table[table["signal"] == Signal.ACTIVATION]
    if activations.empty:
        reasons = "; ".join(map(str, recording.not_captured)) or "no reason was recorded"
        raise NothingObservedError(f"no activation was observed: {reasons}.")
    return [
        fact
        for run in recording.runs
        for fact in (
            ("", ""),
            ("run", run),
            *_model(structure[structure["run"] == run]),
            *_circumstances(recording.metadata[run]),
            *_observed(structure[structure["run"] == run], table[table["run"] == run]),
            *_signals(table[table["run"] == run]),
        )
    ]


def _cuda() -> str:
    if not torch.cuda.is_available():
        return "not available"
    names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return ", ".join(names)


def _library(name: str) -> str:
    try:
        module = importlib.import_module(name)
    except Exception as error:  # a wheel that does not fit raises RuntimeError, OSError, ...
        absent = isinstance(error, ModuleNotFoundError) and error.name == name
        return "not installed" if absent else f"fails to import: {describe_exception(error)}"
    return str(getattr(module, "__version__", "installed"))


def _model(structure: pd.DataFrame) -> Iterator[Fact]:
    modules = structure[structure["operation"] == ""]
    yield "modules", str(len(modules))
    yield "parameters", f"{int(modules['parameters'].sum()):,}"


def _circumstances(metadata: dict[str, object]) -> Iterator[Fact]:
    if "input" in metadata:
        shapes = metadata["input_shapes"]
        assert isinstance(shapes, list)
        written = " and ".join("x".join(map(str, shape)) for shape in shapes)
        yield "input", f"{metadata['input']}, {written}"
    yield "measured", f"{metadata.get('mode', 'train')} mode on {metadata.get('device', 'cpu')}"


def _observed(structure: pd.DataFrame, table: pd.DataFrame) -> Iterator[Fact]:
    activations = table[table["signal"] == Signal.ACTIVATION]
    places = activations.drop_duplicates(["layer", "call", "operation", "tensor"])
    blocks = places[places["tap"] == Tap.BLOCK]
    yield "stem", _named(places[places["tap"] == Tap.STEM]) or "none found"
    yield "blocks", _numbered(blocks)
    yield "residual branches", _numbered(places[places["tap"] == Tap.RESIDUAL_BRANCH])
    yield "skip paths", _skip_kinds(structure) or "none found"
    yield "stages", str(blocks["stage"].nunique())
    leaves = structure[(structure["role"] == Role.LEAF) & (structure["calls"] > 0)]["layer"]
    seen = set(activations["layer"].astype(str))
    yield "layers observed", f"{int(leaves.isin(seen).sum())} of {len(leaves)} that were called"


def _numbered(places: pd.DataFrame) -> str:
    """Count places and name the first and the last, by which a reader knows them."""
    return f"{len(places)}, {_named(places)}" if len(places) else "0"


def _named(places: pd.DataFrame) -> str:
    ends = places.sort_values(["block", "depth"]).iloc[[0, -1]] if len(places) else places
    names = [
        ":".join(part for part in (str(row.layer), str(row.operation)) if part)
        for row in ends.itertuples()
    ]
    return " to ".join(dict.fromkeys(name or "the output" for name in names))


def _skip_kinds(structure: pd.DataFrame) -> str:
    """Count the kinds of skip path, one for each merge that is drawn."""
    ends = structure[structure["tap"] == Tap.RESIDUAL_BRANCH].drop_duplicates("merge")
    return ", ".join(f"{count} {kind}" for kind, count in ends["skip_kind"].value_counts().items())


def _signals(table: pd.DataFrame) -> Iterator[Fact]:
    present = [signal for signal in Signal if (table["signal"] == signal).any()]
    yield "signals", ", ".join(present)
