"""From what a person typed to a recording: models are probed, recordings are read."""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch

import sppkit
from sppkit.cli.console import prints_to_stderr, progress_bar
from sppkit.cli.flags import Device, Measuring, Sizes, Talking
from sppkit.cli.input_size import lacking_inputs, resized, size_of_digits, unknown_size
from sppkit.cli.recordings import is_recording, read_recording
from sppkit.errors import ProbeError, TargetError
from sppkit.inputs import NamedSizes, example_batch
from sppkit.inputs.sources import is_source
from sppkit.recording import Recording
from sppkit.targets import Target, declared_input_size, parse_arguments, resolve
from sppkit.user_code import load, split

OnSeed = Callable[[int], None]
Result = TypeVar("Result")


@dataclass(frozen=True)
class Source:
    """Something that gives a recording.

    Attributes:
        name: for a file name.
        record: gives it, and calls its argument with each seed that is done.
        seeds: how many seeds there are to wait for.
    """

    name: str
    record: Callable[[OnSeed], Recording]
    seeds: int


@prints_to_stderr()
def open_source(text: str, measuring: Measuring) -> Source:
    """Find what a text names: a model to measure, or a recording.

    Raises:
        TargetError: there is no such model or run directory.
        RecordingError: there is no such recording.
        ValueError: one of the flags has no meaning.
    """
    if is_recording(text):
        recording = read_recording(Path(text))
        return Source(Path(text).resolve().stem, lambda _: recording, seeds=0)
    target = resolve(text, parse_arguments(measuring.arguments or ()))
    options = probe_options(measuring)
    probe = functools.partial(measured, sppkit.probe, target, measuring, **options)
    return Source(target.name, probe, measuring.seeds)


@prints_to_stderr()
def record_all(sources: Sequence[Source], talking: Talking) -> Recording:
    """Obtain one recording with the runs of all sources."""
    recordings = []
    shown, color = not talking.quiet, talking.color
    for source in sources:
        with progress_bar(source.name, source.seeds, shown=shown, color=color) as on_seed:
            recordings.append(source.record(on_seed))
    return recordings[0] if len(recordings) == 1 else sppkit.combine(recordings)


def measured(
    measure: Callable[..., Result],
    target: Target,
    measuring: Measuring,
    on_seed: OnSeed,
    **options: Any,
) -> Result:
    """Measure a target; errors say where it comes from.

    Args:
        measure: `sppkit.probe`, or what takes its arguments.
        target: a network; one that has one initialisation only is built once.
        measuring: says the size of its input.
        on_seed: is called with each seed that is done.
        **options: the other arguments of `measure`.

    Raises:
        ProbeError: it cannot be measured.
    """
    size = find_input_size(target, measuring)
    try:
        return measure(
            target.build if target.fresh else target.build(),
            input_size=size,
            run=target.name,
            on_seed=on_seed,
            **options,
        )
    except ProbeError as error:
        raise ProbeError(f"{target.origin}: {error}") from error


def find_input_size(target: Target, measuring: Measuring) -> Sizes | NamedSizes | None:
    """Return the size that was given or declared; None where the input has one of its own.

    Raises:
        ProbeError: nobody knows the size.
    """
    has_own = bool(measuring.example_input) or is_source(measuring.input)
    if isinstance(target.input_size, Mapping):
        return None if has_own else resized(target.input_size, measuring.sizes, target.origin)
    if sizes := measuring.sizes or target.input_size:
        return sizes
    if has_own:
        return None
    if target.lacking:
        lacking_inputs(target.lacking, target.origin)
    network = target.build()
    digits = (size_of_digits(network),) if measuring.input == "digits" else None
    return declared_input_size(network) or digits or unknown_size(network, target.origin)


def probe_options(measuring: Measuring) -> dict[str, Any]:
    """Translate flags into arguments of `sppkit.probe`.

    Raises:
        ValueError: a device is not there.
        TargetError: the function of a loss cannot be found.
        ProbeError: the example input cannot be made.
    """
    return {
        "input": _input(measuring),
        "batch_size": measuring.batch_size,
        "input_dtype": measuring.dtype,
        "vocabulary": measuring.vocabulary,
        "seeds": measuring.seeds,
        "seed": measuring.seed,
        "mode": measuring.mode.value,
        "loss": _loss(measuring.loss),
        "device": choose_device(measuring.device),
        "amp": measuring.amp.value,
        "activate": measuring.activate,
        "include": measuring.include,
        "exclude": measuring.exclude,
    }


def choose_device(device: Device) -> str:
    """Check that a device is there; choose one for `auto`.

    Raises:
        ValueError: it is not.
    """
    has_cuda, has_mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if device is Device.AUTO:
        return "cuda" if has_cuda else "cpu"
    present = {"cpu": True, "cuda": has_cuda, "mps": has_mps}
    if present[device.value]:
        return device.value
    available = " and ".join(name for name, is_there in present.items() if is_there)
    raise ValueError(
        f"--device {device.value} was asked for, and PyTorch {torch.__version__} sees none here; "
        f"available: {available}. Leave --device out to choose by itself."
    )


def _input(measuring: Measuring) -> Any:
    if measuring.example_input is None:
        return measuring.input
    batch = example_batch(measuring.example_input)
    return lambda: batch


def _loss(text: str) -> Any:
    """Find the function that a loss names; other texts are for the probe to judge."""
    return load_loss(text) if (split(text) or ("",))[0] else text


def load_loss(text: str) -> Any:
    """Find the function that a loss names, as module.py:function.

    Raises:
        TargetError: it names none.
    """
    place, name = split(text) or (text, "")
    if not name:
        raise TargetError(f"'--loss {text}' names no function; expected module.py:function.")
    code = load(place)
    function = code.look_up(name)[-1]
    if not callable(function):
        raise TargetError(f"'--loss {text}' is a {type(function).__name__}; expected a function.")

    @functools.wraps(function)
    def loss(output: Any, labels: torch.Tensor | None) -> Any:
        with code.imports.active():
            return function(output, labels)

    return loss
