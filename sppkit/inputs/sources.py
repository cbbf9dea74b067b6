"""What files and functions hold that a person named as an input; nothing pickled is run."""

import functools
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from sppkit.errors import ProbeError, TargetError
from sppkit.inputs.contents import kind_of
from sppkit.inputs.randomness import own_randomness
from sppkit.user_code import check_is_file, load, split

if TYPE_CHECKING:
    import torch

_TORCH_FILE = "torch.save({'x': x, 'y': y}, path), of tensors only"
_NUMPY_FILE = "np.savez(path, x=x, y=y), of arrays of numbers only"


def is_source(text: str) -> bool:
    """Tell whether a text has the form of a file or function that can be read."""
    parts = split(text)
    return Path(text).suffix in (".pt", ".pth", ".npz") or bool(parts and parts[1])


def read(source: str, batch_size: int, generator: "torch.Generator") -> object:
    """Return what a file holds, or the first batch of what a function returns.

    Raises:
        ProbeError: if it does not exist, cannot be read, or fails.
    """
    suffix = Path(source).suffix
    if suffix == ".npz":
        return _read_numpy(source)
    if suffix in (".pt", ".pth"):
        return _read_torch(source)
    return call_function(source, generator, functools.partial(_first_batch, batch_size=batch_size))


def call_function(
    spec: str, generator: "torch.Generator", then: Callable[[object], object] | None = None
) -> object:
    """Call the function that `spec` names, then `then` with its result.

    Raises:
        ProbeError: if it cannot be found, is no function, or fails.
    """
    place, name = split(spec) or (spec, "")
    if not name:
        raise ProbeError(f"'{spec}' names no function; expected module.py:function.")
    try:
        with own_randomness(generator):
            return _call(place, name, spec, then)
    except TargetError as error:
        raise ProbeError(f"The input '{spec}' cannot be made. {error}") from error


def _call(place: str, name: str, spec: str, then: Callable[[object], object] | None) -> object:
    code = load(place)
    function = code.look_up(name)[-1]
    if not callable(function):
        raise ProbeError(f"'{spec}' is {kind_of(function)}; expected a function.")
    made = code.call(function, {}, f"{name} in {place}")
    return code.call(functools.partial(then, made), {}, f"The batch of {spec}") if then else made


def _first_batch(made: object, *, batch_size: int) -> object:
    """Return the first batch of a data set or loader, and anything else as it is."""
    from torch.utils.data import DataLoader, Dataset, IterableDataset, default_collate

    if isinstance(made, DataLoader):
        return next(iter(made), ())
    if not isinstance(made, Dataset):
        return made
    if isinstance(made, IterableDataset):
        samples = list(itertools.islice(made, batch_size))
    else:
        count = min(batch_size, len(made)) if hasattr(made, "__len__") else batch_size
        samples = [made[index] for index in range(count)]
    return default_collate(samples) if samples else ()


def _read_torch(source: str) -> object:
    import torch

    path = _existing(source)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # what a broken archive raises differs between torch's readers
        raise ProbeError(_unreadable(source, _TORCH_FILE)) from error


def _read_numpy(source: str) -> object:
    """Return a dict if one of the arrays is called `x` or `inputs`, else all arrays in order."""
    import numpy as np
    import torch

    path = _existing(source)
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: torch.from_numpy(archive[name]) for name in archive.files}
    except Exception as error:  # ValueError, BadZipFile, OSError, UnpicklingError, ...
        raise ProbeError(_unreadable(source, _NUMPY_FILE)) from error
    return arrays if {"x", "inputs"} & set(arrays) else tuple(arrays.values())


def _existing(source: str) -> Path:
    path = Path(source).expanduser()
    try:
        check_is_file(path, source)
    except TargetError as error:
        raise ProbeError(f"The input {error}") from error
    return path


def _unreadable(source: str, needed: str) -> str:
    return (
        f"'{source}' cannot be read as an input; expected a file that was saved with {needed}. "
        "Other pickled objects are refused, because loading them could run code."
    )
