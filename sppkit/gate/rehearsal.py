"""A rehearsal of training: some steps on a task made up for the network, undone afterwards.

Curves and gradients at initialisation say whether a signal arrives; whether steps along these
gradients lead anywhere they say only in part. A small classifier is therefore trained for a moment,
on a task that any sound network learns. Every step sees samples of its own, so that the share of
wrong answers is one for unseen samples: a chaotic network, which learns by heart, gains nothing.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

from sppkit.capture.steps.state import left_as_found
from sppkit.gate.outputs import trained_outputs
from sppkit.gate.prototypes import Task
from sppkit.gate.training_loss import negative_log_likelihood
from sppkit.inputs import ProbeBatch
from sppkit.probing.execution import describe_failure, run_forward
from sppkit.probing.losses import random_stream
from sppkit.rules.evidence import REHEARSED

STEPS, SAMPLES, CLASSES = 150, 32, 10
"""Of one training, at most."""

RATES = (3e-3, 5e-4)
"""Of Adam, whose steps do not depend on the gradients' scale. The second is for networks that the
first does not bring to the goal."""

MEMORY = 0.85
"""Weight of what was before in running means over the steps, which begin at chance."""

MOST_MULTIPLICATIONS = 2**38
"""Of all rehearsals of a check that reach no goal: some seconds on two cores."""

MOST_SEEDS = 2

_FORWARD_AND_BACKWARD = 3  # multiplications, over those of the forward pass
_OF_AN_UPDATE = 100  # multiplications that take as long as Adam's update of one parameter


class CannotRehearseError(Exception):
    """The network cannot be rehearsed, for the reason that the message gives."""


@dataclass(frozen=True)
class Rehearsal:
    """How a training went.

    Attributes:
        error: share of wrong answers at its end over that of chance, 1 - 1/classes; 1 where the
            loss was not finite.
        loss: at its end, over that of chance, ln(classes); infinite where it was not finite.
        steps: it took.
        rate: of Adam.
    """

    error: float
    loss: float
    steps: int
    rate: float

    def as_dict(self) -> dict[str, float]:
        """List the values for the metadata."""
        return asdict(self)


def affordable_seeds(multiplications: int, parameters: int) -> int:
    """Say of how many seeds a network is rehearsed; 0 for one that is too large.

    Args:
        multiplications: of one sample in a forward pass.
        parameters: of the network; of a large embedding the updates cost more than all else.
    """
    of_samples = SAMPLES * _FORWARD_AND_BACKWARD * multiplications
    of_a_step = max(of_samples + _OF_AN_UPDATE * parameters, 1)
    return min(MOST_MULTIPLICATIONS // (STEPS * len(RATES) * of_a_step), MOST_SEEDS)


def rehearse(model: nn.Module, batch: ProbeBatch, seed: int) -> Rehearsal:
    """Train a classifier for a moment, and leave it as it was found.

    Args:
        model: in train mode; its output is (N, classes).
        batch: of inputs as it takes them.
        seed: of the task and of dropout.

    Returns:
        The better of the trainings at several rates.

    Raises:
        CannotRehearseError: it is no classifier, nothing of its input can be varied, or it failed.
    """
    tried: list[Rehearsal] = []
    for rate in RATES:
        with _undone(model, seed):
            tried.append(_train(model, batch, seed, rate))
        if tried[-1].error <= REHEARSED:
            break
    return min(tried, key=lambda rehearsal: rehearsal.error)


@contextmanager
def _undone(model: nn.Module, seed: int) -> Iterator[None]:
    torch.manual_seed(seed)
    with left_as_found(model):
        try:
            yield
        except CannotRehearseError:
            raise
        except Exception as error:
            raise CannotRehearseError(f"it failed: {describe_failure(model, error)}") from error


def _train(model: nn.Module, batch: ProbeBatch, seed: int, rate: float) -> Rehearsal:
    classes = min(CLASSES, *(len(part[0]) for part in _logits(run_forward(model, batch, None))))
    task = _task(batch, classes, seed)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(trained, rate, fused=_can_be_fused(trained))
    error, loss = 1.0, 1.0
    for step in range(1, STEPS + 1):
        logits, total, labels = _answers(model, task.draw(SAMPLES))
        if not total.isfinite():
            return Rehearsal(1.0, math.inf, step, rate)
        wrong = float((logits.argmax(1) != labels).float().mean())
        error = MEMORY * error + (1 - MEMORY) * wrong / (1 - 1 / classes)
        loss = MEMORY * loss + (1 - MEMORY) * float(total.detach()) / math.log(classes)
        if error <= REHEARSED:
            break
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
    return Rehearsal(error, loss, step, rate)


def _can_be_fused(parameters: list[nn.Parameter]) -> bool:
    return all(p.device.type in ("cpu", "cuda") and p.is_floating_point() for p in parameters)


def _task(batch: ProbeBatch, classes: int, seed: int) -> Task:
    try:
        return Task(batch, classes, random_stream(seed, "rehearsal"))
    except ValueError as error:
        raise CannotRehearseError(str(error)) from error


def _answers(
    model: nn.Module, batch: ProbeBatch
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Give the logits of the first output, the mean loss of all outputs, and the labels."""
    logits = _logits(run_forward(model, batch, None))
    assert batch.labels is not None
    labels = batch.labels.to(logits[0].device)
    losses = [negative_log_likelihood(each.float(), labels) for each in logits]
    return logits[0].detach(), torch.stack(losses).mean(), labels


def _logits(output: Any) -> list[torch.Tensor]:
    """Give the outputs, each (N, classes).

    Raises:
        CannotRehearseError: one of them is something else, or none is trained.
    """
    trained = [tensor for _, tensor in trained_outputs(output) if tensor.requires_grad]
    if not trained:
        raise CannotRehearseError("no output depends on anything that is trained")
    for tensor in trained:
        if tensor.dim() != 2 or tensor.shape[1] < 2 or not tensor.is_floating_point():
            shape = tuple(tensor.shape)
            raise CannotRehearseError(f"its output of shape {shape} is not one class per sample")
    return trained
