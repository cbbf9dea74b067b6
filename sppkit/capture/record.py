"""`sppkit.record`: check what is asked for, and make the recorder."""

import os
from collections.abc import Iterable, Mapping
from typing import Literal

import torch
import torch.distributed as dist
from torch import nn

from sppkit.capture.calls.compiled_modules import (
    original,
    originals_in_place,
    refuse_without_forward,
)
from sppkit.capture.planning.options import Options, make_signals
from sppkit.capture.recorder import Recorder
from sppkit.capture.steps.schedule import StepFunction, make_schedule
from sppkit.capture.tensors.masks import MaskFunction
from sppkit.capture.tensors.sharding import Spread, spread_of, unwrapped, user_class
from sppkit.patterns import Patterns
from sppkit.recording import STATISTIC_COLUMNS
from sppkit.run_directory import FLUSH_ROWS, FLUSH_SECONDS, RunDirectory, StreamedRows
from sppkit.signals import DEFAULT_SIGNALS, Signal


def record(
    model: nn.Module,
    *,
    optimizer: torch.optim.Optimizer | None = None,
    scaler: torch.amp.GradScaler | None = None,
    every: int = 1,
    schedule: StepFunction | None = None,
    layers_per_step: int | None = None,
    max_elements: int | None = None,
    run_directory: str | os.PathLike[str] | None = None,
    flush_rows: int = FLUSH_ROWS,
    flush_seconds: float = FLUSH_SECONDS,
    first_step: int = 0,
    run: str | None = None,
    seed: int = 0,
    signals: Iterable[Signal | str] = DEFAULT_SIGNALS,
    granularity: Literal["layer", "operation"] = "layer",
    loss_reduction: Literal["mean", "sum"] | None = None,
    include: Patterns | None = None,
    exclude: Patterns | None = None,
    extended: bool = False,
    channel_axis: Mapping[str, int] | None = None,
    blocks: Patterns | None = None,
    residual_branches: Patterns | None = None,
    stem: Patterns | None = None,
    mask: MaskFunction | None = None,
) -> Recorder:
    """Record the signals of a model while your own code runs it.

    Hooks are on the model only inside the `with` block and only during recorded steps. A tensor is
    read once, inside the hook, before anything can change it; the numbers stay on its device until
    the step ends. Forward passes between two steps are merged exactly, weighted by size.

    Args:
        model: any module with a Python forward; of a compiled model, what the user calls, before
            its first call (else everything compiled is compiled again, with a warning).
        optimizer: ends a step right before each of its own steps; without it call `.step()`.
        scaler: the gradient scaler of the loop; gradients are divided by the scale that their loss
            had, and steps that it skips are flagged and counted.
        every: record one step in so many.
        schedule: or the steps to record, as windows (`sppkit.schedule`, `torch.profiler.schedule`)
            or as a function of the step's number that returns True or False. It must answer alike
            on all ranks.
        layers_per_step: read so many layers in each recorded step after the first, turn by turn,
            and hook no others; a layer's rows are missing in the steps of the others' turns.
        max_elements: read an activation or gradient with more elements over its first samples
            only, as many as fit and one at least; such rows are flagged "first 4 of 64 samples".
            What has its batch on another axis than the first is read whole, as are parameters.
        run_directory: a folder to which the rows are written while the run goes on, so that memory
            does not grow and a kill loses little; `sppkit.read` and `sppkit plot` take it at any
            time. In several processes, what stays with rank 1 alone goes to "FOLDER.rank1".
        flush_rows, flush_seconds: rows are written at the end of the step in which there are so
            many, or in which the last ones were written so long ago; `recording.flush()` does it
            at once.
        first_step: number of the first step, above 0 where an interrupted run goes on; then the
            rows that the run directory holds are kept, and the new ones come behind them.
        run: name of the run; by default the model's class.
        seed: written to the table.
        signals: which signals to record, of `sppkit.Signal`; by default all but "update", which
            costs a copy of the parameters and needs the optimiser.
        granularity: "operation" also records the functional calls between layers (F.relu, add,
            matmul, softmax, ...), at about half a microsecond per call and one read of each result.
        loss_reduction: "mean" or "sum" over the samples, for `sppkit.per_sample_gradients`.
        include, exclude: layers by name (globs, or regular expressions behind `re:`).
        extended: also record mean absolute values, kurtosis and quantiles (slower).
        channel_axis: axis of the channels by layer name, where the default is wrong.
        blocks, residual_branches, stem: layers by name, over what provenance finds.
        mask: leaves padding out: a function that is given the arguments of each forward pass and
            returns a tensor that is True at the real positions, as
            ``lambda tokens: tokens != 0``, or None for a pass without. Inside a loop,
            ``recording.mask(tensor)`` does it for the next pass. It applies to the activations and
            gradients whose leading axes have its shape and whose channels lie behind them;
            `samples` counts what was read. Rows that it does not fit are flagged "unmasked".

    In several processes (`torch.distributed`) call it on every rank, with the wrapped model: what
    all ranks read is merged on rank 0 as if it were one batch; see docs/distributed.md.

    Returns:
        A recording to use in a `with` statement.

    Raises:
        ValueError: a pattern matches no layer, a signal is unknown, `every`, `layers_per_step` or
            `max_elements` is no positive number, `first_step` is negative, or `every` and a
            schedule were both given.
        TypeError: `model` is no module, is `nn.DataParallel`, or was scripted, traced or exported;
            the schedule is no function of a step.
        RecordingError: the run directory holds a recording already.

    Examples:
        >>> import torch, sppkit
        >>> model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU())
        >>> with sppkit.record(model) as recording:
        ...     model(torch.randn(32, 4)).sum().backward()
        >>> sorted(set(recording.table()["signal"]))
        ['activation', 'gradient', 'weight', 'weight gradient']
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, not {type(model).__name__}")
    cadence = make_schedule(every, schedule)
    if not isinstance(first_step, int) or first_step < 0:
        raise ValueError(f"first_step={first_step!r} must be the number of a step, 0 or more")
    _check_count("layers_per_step", layers_per_step, "layers to read in a step, or None for all")
    _check_count("max_elements", max_elements, "elements to read of a tensor, or None for all")
    spread, model = spread_of(model), unwrapped(model)
    options = Options(
        signals=make_signals(signals),
        include=include,
        exclude=exclude,
        channel_axis=dict(channel_axis or {}),
        blocks=blocks,
        residual_branches=residual_branches,
        stem=stem,
        mask=mask,
        extended=extended,
        granularity=granularity,
        max_elements=max_elements,
        spares_output=len(spread.members) > 1,
    )
    refuse_without_forward(model)
    with originals_in_place(model):
        options.check(original(model))
    _check_loop(optimizer, scaler, options)
    return Recorder(
        model,
        options,
        run=run or user_class(original(model)).__name__,
        seed=seed,
        optimizer=optimizer,
        scaler=scaler,
        schedule=cadence,
        layers_per_step=layers_per_step,
        stream=_stream(*(run_directory, flush_rows, flush_seconds, spread), goes_on=first_step > 0),
        first_step=first_step,
        loss_reduction=loss_reduction,
        spread=spread,
    )


def _check_loop(
    optimizer: torch.optim.Optimizer | None, scaler: torch.amp.GradScaler | None, options: Options
) -> None:
    if optimizer is None and scaler is not None:
        raise ValueError("scaler= needs optimizer=: it is the optimiser's steps that it skips")
    if optimizer is None and Signal.UPDATE in options.signals:
        raise ValueError("the signal 'update' needs optimizer=: it is what its step changes")
    if options.granularity not in ("layer", "operation"):
        raise ValueError(f"granularity={options.granularity!r} must be 'layer' or 'operation'")


def _stream(
    path: str | os.PathLike[str] | None,
    flush_rows: int,
    flush_seconds: float,
    spread: Spread,
    *,
    goes_on: bool,
) -> StreamedRows | None:
    _check_count("flush_rows", flush_rows, "rows between two writes")
    if not flush_seconds > 0:
        raise ValueError(f"flush_seconds={flush_seconds!r} must be above 0 seconds")
    if path is None:
        return None
    directory = RunDirectory(path, goes_on=goes_on)
    # another rank may have begun to write to its own folder already
    directory.of_rank(dist.get_rank() if len(spread.members) > 1 else 0).check_is_free()
    return StreamedRows(
        STATISTIC_COLUMNS, directory, flush_rows=flush_rows, flush_seconds=flush_seconds
    )


def _check_count(name: str, value: int | None, meaning: str) -> None:
    is_count = isinstance(value, int) and not isinstance(value, bool) and value > 0
    if value is not None and not is_count:
        raise ValueError(f"{name}={value!r} must be 1 or more {meaning}")
