"""What the callbacks of trainers share: a recording that is begun, paused and ended by events."""

import difflib
import inspect
import os
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import nn

from sppkit.capture.record import record
from sppkit.capture.recorder import Recorder
from sppkit.early_warning.early_warning import EarlyWarning, StopOn
from sppkit.integrations.tracker import Tracker
from sppkit.run_directory import forget_steps

EVERY = 10
"""One step in so many is recorded by default: it costs 1 % of a usual training."""

_OF_TRAINER = frozenset({"model", "optimizer", "scaler", "run_directory", "first_step"})


class Attachment:
    """One recording after another, into the same run directory or a folder in it.

    Args:
        run_directory: where the recording is written while training goes on.
        trackers: who is told what is recorded.
        stop_on: severity of early warnings from which on training is to stop.
        options: of `sppkit.record`.

    Attributes:
        recording: the one in the making, or the latest.
        warning: its early warning.

    Raises:
        TypeError: an option is none of `sppkit.record`, or one that the trainer decides.
    """

    def __init__(
        self,
        run_directory: str | os.PathLike[str],
        trackers: Iterable[Tracker],
        stop_on: StopOn,
        options: Mapping[str, Any],
    ) -> None:
        _check_options(options)
        self._run_directory = run_directory
        self._trackers = tuple(trackers)
        self._stop_on: StopOn = stop_on
        self._options = {"every": EVERY, **options}
        if "schedule" in options and "every" not in options:
            del self._options["every"]
        self._stack: ExitStack | None = None
        self._pause: ExitStack | None = None
        self._restored: Mapping[str, Any] | None = None
        self.recording: Recorder | None = None
        self.warning: EarlyWarning | None = None

    def begin(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        scaler: torch.amp.GradScaler | None,
        first_step: int,
        folder: str = "",
    ) -> None:
        """Begin to record, as the trainer begins to train, or goes on with a step.

        A run that goes on from a checkpoint takes some steps again: their earlier rows go, and its
        early warning goes on from the state that was restored.

        Args:
            model, optimizer, scaler: of the trainer.
            first_step: optimiser steps that were taken before.
            folder: in the run directory, for one of several trainings.

        Raises:
            RecordingError: the run directory holds another recording.
            ValueError: the state is none of an early warning.
        """
        self.end()
        run_directory = Path(self._run_directory, folder)
        if first_step > 0 and _rank() == 0:
            forget_steps(run_directory, first_step)
        self.recording = record(
            model,
            optimizer=optimizer,
            scaler=scaler,
            run_directory=run_directory,
            first_step=first_step,
            **self._options,
        )
        self.warning = EarlyWarning(self.recording, stop_on=self._stop_on)
        state, self._restored = self._restored, None
        if state and first_step > 0 and _rank() == 0:  # the checkpoint is that of rank 0
            self.warning.load_state_dict(state)
        for tracker in self._trackers:
            tracker.follow(self.recording, self.warning)
        self._stack = ExitStack()
        self._stack.enter_context(self.recording)

    def pause(self) -> None:
        """Read nothing until `go_on`: what the trainer runs in between is no training."""
        if self._stack and self.recording and not self._pause:
            self._pause = ExitStack()
            self._pause.enter_context(self.recording.paused())

    def go_on(self) -> None:
        """Read again."""
        pause, self._pause = self._pause, None
        if pause:
            pause.close()

    def save(self) -> None:
        """Write what there is, as the trainer writes its checkpoint."""
        if self._stack and self.recording:
            self.recording.flush()

    def state(self) -> dict[str, Any]:
        """Give what the early warning needs to go on, for a checkpoint; nothing before training."""
        if not (dist.is_available() and dist.is_initialized()):  # else rank 0 may ask alone
            self.save()
        return self.warning.state_dict() if self.warning else {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Keep a state for the recording that is begun next, if that goes on with a step."""
        self._restored = state or None

    def end(self, error: BaseException | None = None) -> None:
        """End the recording, if one is in the making; the step that an error broke is left out."""
        self.go_on()
        stack, self._stack = self._stack, None
        if stack:
            stack.__exit__(type(error) if error else None, error, None)

    def should_stop(self) -> bool:
        """Say on every rank whether the early warning of one of them asks to stop."""
        if self._stop_on == "never" or not self.warning or not self.recording:
            return False
        stops = self.warning.should_stop
        if not (dist.is_available() and dist.is_initialized()):
            return stops
        model = self.recording.model
        places = [p.device for p in model.parameters()] if model else []
        told = torch.tensor(int(stops), device=places[0] if places else None)
        dist.all_reduce(told, dist.ReduceOp.MAX)
        return bool(told)


def _rank() -> int:
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def _check_options(options: Mapping[str, Any]) -> None:
    known = inspect.signature(record).parameters.keys() - _OF_TRAINER
    for name in options:
        if name in _OF_TRAINER:
            raise TypeError(f"{name}= is not to be given: the trainer decides it")
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise TypeError(f"{name}= is no argument of sppkit.record.{hint}")
