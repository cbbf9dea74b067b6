"""Train one network, record it, and write what happens to its run folder.

outcome = train(task, RunFolder(Path("runs/net")))
"""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, replace
from typing import Any

import torch

from sppkit.capture.record import record
from sppkit.capture.recorder import Recorder
from sppkit.early_warning.early_warning import STOPS, EarlyWarning
from sppkit.run_directory import part_files
from sppkit.training.batches import Batch
from sppkit.training.environment import describe_environment
from sppkit.training.metrics import Metrics, Row
from sppkit.training.outcome import DIVERGED, FINISHED, STOPPED, Hear, Outcome, Progress, outcome_of
from sppkit.training.random_streams import (
    RandomStream,
    random_state,
    seed_of,
    set_random_state,
)
from sppkit.training.run_folder import RunFolder
from sppkit.training.shares import share_of
from sppkit.training.silent_folder import SilentFolder
from sppkit.training.task import Task
from sppkit.training.trainee import Trainee

PATIENCE = 20
"""Steps in a row without a finite loss after which a run has diverged."""

_TELL_SECONDS = 0.2

_AGREED_STEPS = 10
"""Steps after which several processes agree whether a checkpoint is due, or the run to end."""


def train(
    task: Task, folder: RunFolder, *, resume: bool = False, hear: Hear = lambda _: None
) -> Outcome:
    """Train a network as a task says.

    The order of the data and the weights depend on the seed alone, so that several networks see the
    same; the generators of random numbers are left as they were found.

    Args:
        task: what, on what, how.
        folder: where to; made where it does not exist.
        resume: go on where an interrupted run has stopped. On a CPU the result is that of a run
            that was not interrupted, to the bit. A run that has ended is left as it is, but for
            one that was stopped by an event that the task does not stop on.
        hear: is told, a few times in a second, how the run stands.

    Raises:
        OutputError: the folder holds something else, or cannot be written.
        TrainingError: the network does not fit the data, or the run to resume is another one.
        DataError: the data is not as it should be.
    """
    parallel = task.parallel
    folder = folder if parallel.is_first else SilentFolder(folder.path, parallel.rank)
    outcome: Outcome | None = parallel.first_says(_earlier_outcome(task, folder, resume))
    if outcome is not None:
        return outcome
    task = replace(task, data=share_of(task.data, parallel))
    with RandomStream("training", task.seed).active(), _random_numbers_of(task.device):
        run = _Run(task, folder, hear)
        with run.leaving_nothing_behind_if_it_never_began(), run.recording():
            for batch in run.batches():
                run.step(batch)
                if run.is_at_end_of_epoch:
                    run.evaluate()
                run.look()
                if run.is_over:
                    break
                if run.is_due:
                    run.save()
        return run.end()


def _earlier_outcome(task: Task, folder: RunFolder, resume: bool) -> Outcome | None:
    """Check that the run may begin or go on; give its outcome where it has ended already."""
    if not (resume and folder.holds_a_run):
        folder.check_is_free()
        return None
    folder.check_settings(task.settings())
    found = folder.description()
    if "outcome" not in found or goes_on(found, folder, task):
        return None
    return outcome_of(found["outcome"])


class _Run:
    """A run under way: the network, how far it is, and what was measured."""

    def __init__(self, task: Task, folder: RunFolder, hear: Hear) -> None:
        self._task, self._folder, self._hear = task, folder, hear
        self._began = time.time()
        self._warning: EarlyWarning | None = None
        self._trainee = Trainee(task)
        folder.create()
        folder.describe(self._description("running"))
        parallel = task.parallel
        if not parallel.is_first:  # it has the weights of the first, and random numbers of its own
            torch.manual_seed(seed_of("rank", task.seed, parallel.rank))
        state = parallel.first_says(folder.load())
        folder.keep_parts(state["ranks"][parallel.rank]["parts"] if state else None)
        clipping = self._trainee.training.clipping
        earlier = parallel.first_says(folder.metrics())
        self._metrics = Metrics(task.run, task.seed, earlier, clipping)
        self._evaluation = self._metrics.latest("eval")
        self._events = folder.events()
        self._judged = len(self._events)
        self._recorder: Recorder | None = None
        self._causes: list[Mapping[str, Any]] = []
        self._warned = state.get("early_warning") if state else None
        self._ended = ""
        self._step = 0
        if state is not None:
            self._step = int(state["step"])
            self._trainee.restore(state)
            set_random_state(state["ranks"][parallel.rank]["random"])
        self._flushed = self._stepped = time.monotonic()
        self._told = -math.inf

    # -------------------------------------------------------------------------- what a loop asks

    @property
    def is_at_end_of_epoch(self) -> bool:
        return self._step % self._task.steps_per_epoch == 0

    @property
    def is_over(self) -> bool:
        return bool(self._ended)

    @property
    def is_due(self) -> bool:
        parallel = self._task.parallel
        if parallel.size > 1 and self._step % _AGREED_STEPS:
            return False
        is_due = time.monotonic() - self._flushed >= self._task.flush_seconds
        return bool(parallel.first_says(is_due))

    @contextmanager
    def leaving_nothing_behind_if_it_never_began(self) -> Iterator[None]:
        """Delete the folder of a run that failed in its first step."""
        try:
            yield
        except BaseException:
            if self._step == 0:
                self._folder.remove()
            raise

    def recording(self) -> AbstractContextManager[object]:
        """Record the network while the block runs, unless nothing is to be recorded."""
        task, trainee = self._task, self._trainee
        if not task.every:
            return nullcontext()
        self._recorder = record(
            trainee.called,
            optimizer=trainee.training.optimizer,
            scaler=trainee.scaler if trainee.scaler.is_enabled() else None,
            every=task.every,
            run=task.run,
            seed=task.seed,
            include=task.include,
            exclude=task.exclude,
            loss_reduction="mean",
            run_directory=self._folder.path,
            flush_seconds=math.inf,  # `save` writes everything at once
            first_step=self._step,
        )
        self._warning = EarlyWarning(self._recorder)
        if self._warned is not None:
            self._warning.load_state_dict(self._warned)
        return self._recorder

    def batches(self) -> Iterator[Batch]:
        """Give the batches from where the run stands to its end."""
        task = self._task
        epoch, first = divmod(self._step, task.steps_per_epoch)
        for number in range(epoch, task.recipe.epochs):
            yield from task.data.train.epoch(task.seed, number, task.samples_per_step, first=first)
            first = 0

    # ---------------------------------------------------------------------------- what is done

    def step(self, batch: Batch) -> None:
        """Learn from a batch."""
        task, training = self._task, self._trainee.training
        rate = float(training.optimizer.param_groups[0]["lr"])
        loss, right = self._trainee.step(batch)
        now = time.monotonic()
        self._metrics.add_step(
            loss,
            right,
            step=self._step,
            epoch=self._step / task.steps_per_epoch,
            samples=len(batch.y) * task.parallel.size,
            learning_rate=rate,
            seconds=now - self._stepped,
            is_recorded=bool(task.every) and self._step % task.every == 0,
        )
        self._step, self._stepped = self._step + 1, now

    def evaluate(self) -> None:
        """Answer the samples for evaluation; nothing of it is recorded."""
        began = time.monotonic()
        with self._recorder.paused() if self._recorder else nullcontext():
            loss, accuracy, samples = self._trainee.evaluate(self._task.data.test)
        self._stepped = time.monotonic()
        epoch, seconds = self._step / self._task.steps_per_epoch, self._stepped - began
        measured = (self._step, epoch, "eval", loss, accuracy, samples)
        self._evaluation = Row(*measured, math.nan, math.nan, seconds, False)
        self._metrics.add_evaluation(self._evaluation)

    def look(self) -> None:
        """Hear the early warning, look at the losses now and then, and tell how the run stands."""
        self._hear_warning()
        if self._step % PATIENCE == 0 or self._step == self._task.steps:
            self._look_at_losses()
        self._causes += stopping(self._events[self._judged :], self._task)
        self._judged = len(self._events)
        if not self._ended and (cause := self._agreed_cause()):
            self._stop(cause)
        if time.monotonic() - self._told > _TELL_SECONDS or self._step == self._task.steps:
            self._hear(self._progress())
            self._told = time.monotonic()

    def _look_at_losses(self) -> None:
        losses = self._metrics.last_losses(PATIENCE)
        bad = [index for index, loss in enumerate(losses) if not math.isfinite(loss)]
        if bad and not any(event["kind"] == "loss not finite" for event in self._events):
            step = self._step - len(losses) + bad[0]
            self._tell("loss not finite", f"the loss of step {step} is {losses[bad[0]]}", step)
        at_end = self._step == self._task.steps
        if len(bad) == PATIENCE or (at_end and bad and bad[-1] == len(losses) - 1):
            self._tell(DIVERGED, "the loss does not come back from infinity or NaN", self._step)
            self._ended = DIVERGED

    def _agreed_cause(self) -> Mapping[str, Any] | None:
        """Give the event to stop on; several processes, of which one hears events, agree on it."""
        parallel, cause = self._task.parallel, next(iter(self._causes), None)
        if parallel.size == 1 or self._task.stop_on == "never":
            return cause
        agreed: Mapping[str, Any] | None = None
        if self._step % _AGREED_STEPS == 0:
            agreed = parallel.first_says(cause)
        return agreed

    def _hear_warning(self) -> None:
        for event in self._warning.new_events() if self._warning else ():
            self._add_event(event.as_dict())

    def _stop(self, cause: Mapping[str, Any]) -> None:
        """End the run because of an event."""
        why = f"stopped at the {cause['severity']} of step {cause['step']}: {cause['message']}"
        self._tell(STOPPED, why, self._step, "info")
        self._ended = STOPPED

    def _tell(self, kind: str, message: str, step: int, severity: str = "error") -> None:
        """Write an event of the run as a whole."""
        event = {"step": step, "kind": kind, "severity": severity, "layer": ""}
        self._add_event({**event, "message": message, "advice": "", "evidence": {}})

    def _add_event(self, event: Mapping[str, Any]) -> None:
        epoch = event["step"] / self._task.steps_per_epoch
        whole = {"step": event["step"], "epoch": epoch, **event}
        self._events.append(whole)
        self._folder.add_event(whole)

    def save(self) -> None:
        """Write everything; the checkpoint comes last, since it says how much of the rest counts.

        A kill in between leaves more of the rest than the checkpoint before knows, which is cut off
        when the run goes on from there.
        """
        if self._recorder is not None:
            self._recorder.flush()
        self._write()
        self._flushed = time.monotonic()

    def _write(self) -> None:
        self._hear_warning()  # of rows that a GPU has given only now
        rows = self._metrics.frame()
        self._folder.write_metrics(rows)
        own = {"random": random_state(), "parts": len(part_files(self._folder.own_recording))}
        ranks = self._task.parallel.of_all(own)
        state = {"step": self._step, "ranks": ranks, **self._trainee.state()}
        if self._warning is not None:
            state["early_warning"] = self._warning.state_dict()
        self._folder.save(state, metrics=len(rows), events=len(self._events))

    def end(self) -> Outcome:
        """Write what is left, when the recording has written its last part."""
        self._write()
        outcome = self._outcome()
        self._folder.describe(self._description(outcome.ended) | {"outcome": asdict(outcome)})
        return outcome

    # -------------------------------------------------------------------------- what is told

    def _progress(self) -> Progress:
        metrics, evaluation = self._metrics, self._evaluation
        step = metrics.latest("train")
        return Progress(
            step=self._step,
            steps=self._task.steps,
            epoch=self._step // self._task.steps_per_epoch,
            loss=step.loss if step else math.nan,
            accuracy=evaluation.accuracy if evaluation else None,
            step_seconds=metrics.step_seconds(),
            overhead=metrics.recording_overhead(),
            finding=self._events[-1]["message"] if self._events else "",
        )

    def _outcome(self) -> Outcome:
        metrics, evaluation = self._metrics, self._evaluation
        step = metrics.latest("train")
        return Outcome(
            run=self._task.run,
            seed=self._task.seed,
            ended=self._ended or FINISHED,
            steps=self._step,
            loss=step.loss if step else math.nan,
            test_loss=evaluation.loss if evaluation else math.nan,
            test_accuracy=evaluation.accuracy if evaluation else math.nan,
            seconds=sum(row.seconds for row in metrics.rows),
            step_seconds=metrics.step_seconds(),
            overhead=metrics.recording_overhead(),
        )

    def _description(self, state: str) -> dict[str, Any]:
        return {
            "state": state,
            "settings": self._task.settings(),
            "environment": describe_environment(self._task.device),
            "not_measured": self._warning.not_measured if self._warning else {},
            "began": self._began,
            "changed": time.time(),
        }


def stopping(events: Sequence[Mapping[str, Any]], task: Task) -> list[Mapping[str, Any]]:
    """List the events that a task stops on."""
    return [event for event in events if event["severity"] in STOPS[task.stop_on]]


def goes_on(found: Mapping[str, Any], folder: RunFolder, task: Task) -> bool:
    """Say whether a run was stopped by an event that would not stop it now."""
    was_stopped = found["outcome"].get("ended") == STOPPED
    return was_stopped and not stopping(folder.events(), task)


@contextmanager
def _random_numbers_of(device: str) -> Iterator[None]:
    """Leave the generators of a device as they were."""
    if torch.device(device).type != "cuda":
        yield
        return
    with torch.random.fork_rng(range(torch.cuda.device_count())):
        yield
