"""A network in training: its step and its evaluation, in any precision."""

from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from sppkit.errors import SppkitError, TrainingError
from sppkit.training.batches import Batch, Batches
from sppkit.training.optimizers import Training, prepare_training
from sppkit.training.task import Task
from sppkit.user_code import describe_exception


class Trainee:
    """A network with its optimiser, its schedule, and what else has a state.

    Attributes:
        model: the network.
        called: what is called: the network, or its compiled form.
        scaler: of gradients in float16.
        training: the optimiser and all that its recipe wants around it.
    """

    def __init__(self, task: Task) -> None:
        self._task = task
        torch.manual_seed(task.seed)  # the weights are those that `sppkit.probe` gives this seed
        self.model = task.build().to(task.device)
        if not any(parameter.requires_grad for parameter in self.model.parameters()):
            raise TrainingError(
                f"{task.origin} has no parameter that requires a gradient: there is nothing to "
                "train."
            )
        task.parallel.shard(self.model)
        self.called: nn.Module = self.model
        if task.compile:
            self.called = torch.compile(self.model)  # type: ignore[assignment]  # a module too
        self.called = task.parallel.wrap(self.called, task.device)
        self.training: Training = prepare_training(
            task.recipe,
            self.model,
            steps_per_epoch=task.steps_per_epoch,
            batch_size=task.samples_per_step,
        )
        kind = torch.device(task.device).type
        self.scaler = torch.amp.GradScaler(kind, enabled=task.amp == "fp16")
        self._has_answered = False

    def step(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Learn from a batch; gradients stay until the next one.

        Returns:
            The loss, and how many samples were right (NaN where there are no classes), both
            before the step and on their device; of all ranks.

        Raises:
            TrainingError: the network cannot be run or has no gradient.
        """
        self.called.train()
        self.training.optimizer.zero_grad()
        batch = batch.to(self._task.device)
        with self._autocast():
            output = self._answer(self.called, batch)
            loss = self._loss(output, batch.y)
        if not loss.requires_grad:
            raise TrainingError(
                f"the loss of {self._task.origin} has no gradient: its output does not depend on a "
                "parameter that requires one."
            )
        self.scaler.scale(loss).backward()
        self._update()
        told = torch.stack([loss.detach().float(), _right(output.detach(), batch.y)])
        loss, right = self._task.parallel.sum(told)
        return loss / self._task.parallel.size, right

    def _update(self) -> None:
        training, model = self.training, self.model
        if not self.scaler.is_enabled():
            training.step(model)
            return
        before = self.scaler.get_scale()
        self.scaler.unscale_(training.optimizer)
        if training.clipping is not None:
            training.clipping()
        self.scaler.step(training.optimizer)
        self.scaler.update()
        if self.scaler.get_scale() >= before:  # else the step was skipped
            training.schedule.step()
            if training.average is not None:
                training.average.update_parameters(model)

    @torch.no_grad()
    def evaluate(self, batches: Batches) -> tuple[float, float, int]:
        """Answer all samples, in eval mode; by the average of the weights where there is one.

        Returns:
            The mean loss, the share that was right (NaN without classes), and the samples.
        """
        # not what averages gradients, which exchanges buffers whenever it is called
        network = self.training.average or self._whole()
        self._task.parallel.share_buffers(network)
        network.eval()
        losses, right, samples = [], [], 0
        for batch in batches.in_order(self._task.samples_per_step):
            batch = batch.to(self._task.device)
            with self._autocast():
                output = self._answer(network, batch)
                losses.append(self._loss(output, batch.y).double() * len(batch.y))
            right.append(_right(output, batch.y).double())
            samples += len(batch.y)
        network.train()
        counted = torch.full_like(losses[0], samples)
        told = torch.stack([torch.stack(losses).sum(), torch.stack(right).sum(), counted])
        loss, correct, of_all = self._task.parallel.sum(told).tolist()
        return loss / of_all, correct / of_all, int(of_all)

    def _whole(self) -> nn.Module:
        return self.model if self._task.parallel.kind == "ddp" else self.called

    def state(self) -> dict[str, Any]:
        """Give all that changes in training."""
        training = self.training
        return {
            **self._task.parallel.state(self.model, training.optimizer),
            "schedule": training.schedule.state_dict(),
            "scaler": self.scaler.state_dict(),
            "average": training.average.state_dict() if training.average else None,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go back to a state.

        Raises:
            TrainingError: it is that of another network.
        """
        training = self.training
        try:
            self._task.parallel.restore(state, self.model, training.optimizer)
            training.schedule.load_state_dict(state["schedule"])
            self.scaler.load_state_dict(state["scaler"])
            if training.average is not None:
                training.average.load_state_dict(state["average"])
        except (RuntimeError, ValueError, KeyError) as error:
            raise TrainingError(
                f"the checkpoint is of another network than {self._task.origin}: "
                f"{describe_exception(error)}. Has its code changed since? Begin anew with --force."
            ) from error

    def _autocast(self) -> AbstractContextManager[Any]:
        task = self._task
        kind = torch.device(task.device).type
        return torch.autocast(kind, dtype=task.precision, enabled=task.precision is not None)

    def _answer(self, network: nn.Module, batch: Batch) -> Tensor:
        try:
            output = _answer_of(network(batch.x))
        except SppkitError:
            raise
        except Exception as error:  # whatever the user's code raises
            raise TrainingError(
                f"{self._task.origin} fails on a batch of {tuple(batch.x.shape)}: "
                f"{describe_exception(error)}. Choose the size of a sample with -s."
            ) from error
        if not self._has_answered:
            self._check(output, batch)
            self._has_answered = True
        return output

    def _check(self, output: Tensor, batch: Batch) -> None:
        """Compare the first answer with what the data asks for."""
        if self._task.loss is not None:
            return
        classes, shape = self._task.data.classes, tuple(output.shape)
        if classes is None and not batch.y.is_floating_point():
            classes = int(batch.y.max()) + 1
        if classes is None:
            if shape != tuple(batch.y.shape):
                raise TrainingError(
                    f"{self._task.origin} answers {shape} where the labels of "
                    f"'{self._task.data.name}' are {tuple(batch.y.shape)}. They must be alike for "
                    "a mean square; give another loss with --loss module.py:function."
                )
        elif output.dim() < 2 or shape[0] != len(batch.y) or shape[1] < classes:
            raise TrainingError(
                f"{self._task.origin} answers {shape} where '{self._task.data.name}' has {classes} "
                f"classes; expected logits ({len(batch.y)}, {classes}). Build the network for so "
                f"many, such as by -k classes={classes}."
            )

    def _loss(self, output: Tensor, labels: Tensor) -> Tensor:
        if self._task.loss is not None:
            return self._task.loss(output, labels)
        if labels.is_floating_point():
            return mse_loss(output.float(), labels)
        loss: Tensor = self.training.loss(output.float(), labels)
        return loss


def _answer_of(output: object) -> Tensor:
    """Find the logits in what a network returned: itself, its `logits`, or its first tensor."""
    output = getattr(output, "logits", output)
    if isinstance(output, list | tuple) and output:
        return _answer_of(output[0])
    if isinstance(output, Tensor):
        return output
    raise TrainingError(
        f"the network returned a {type(output).__name__}; expected a tensor of logits, a tuple "
        "that begins with one, or an object with .logits."
    )


def _right(output: Tensor, labels: Tensor) -> Tensor:
    if labels.is_floating_point() or labels.dim() != 1 or output.dim() != 2:
        return torch.full((), float("nan"), device=output.device)
    return (output.argmax(1) == labels).sum().float()
