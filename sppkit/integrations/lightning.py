"""Record what a Trainer of Lightning trains.

trainer = Trainer(callbacks=[SignalPropagationCallback("runs/a")])
"""

import os
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from sppkit.early_warning.early_warning import EarlyWarning, StopOn
from sppkit.errors import LibraryError, RecordingError
from sppkit.integrations.attachment import Attachment
from sppkit.integrations.libraries import library
from sppkit.integrations.tracker import Tracker


def _lightning() -> Any:
    """Import it by the name of either of its packages."""
    try:
        return library("lightning.pytorch", "lightning")
    except LibraryError as error:
        try:
            return library("pytorch_lightning", "lightning")
        except LibraryError:
            raise error from None


class SignalPropagationCallback(_lightning().Callback):  # type: ignore[misc]
    """Record a training of Lightning into a run directory, from its first step to its last.

    Steps are those of the optimiser: the batches whose gradients are accumulated are one step, and
    what gradient clipping changes has rows of its own. Gradients are those of the loss without the
    factor of a gradient scaler. Validation is not recorded. With several processes, what all of
    them read is merged into one recording (docs/distributed.md). What is compiled inside of the
    LightningModule (``self.network = torch.compile(...)``) is recorded.

    A run that is resumed from a checkpoint goes on in its run directory, and warns as one that was
    not interrupted. Nothing stays behind on
    the network when the training ends, also by an exception.

    Args:
        run_directory: a folder that `sppkit plot` and `sppkit.read` take, at any time.
        module: name of the network in the LightningModule; by default the only child that has
            parameters, else the LightningModule itself.
        optimizer: number of the optimiser whose steps count, where there are several.
        trackers: who is told what is recorded (docs/trackers.md).
        stop_on: "error" or "warning" ends the training at an early warning of that severity.
        options: any other argument of `sppkit.record`; `every` is 10 here.

    Attributes:
        recording: the recording, once training has begun.
        warning: its `sppkit.EarlyWarning`.

    Raises:
        TypeError: an option is none of `sppkit.record`.
    """

    def __init__(
        self,
        run_directory: str | os.PathLike[str],
        *,
        module: str = "",
        optimizer: int = 0,
        trackers: Iterable[Tracker] = (),
        stop_on: StopOn = "never",
        **options: Any,
    ) -> None:
        super().__init__()
        self._attachment = Attachment(run_directory, trackers, stop_on, options)
        self._module, self._optimizer = module, optimizer

    @property
    def recording(self) -> Any:
        """The recording in the making, or the latest."""
        return self._attachment.recording

    @property
    def warning(self) -> EarlyWarning | None:
        """Its early warning."""
        return self._attachment.warning

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Begin to record.

        Raises:
            RecordingError: the run directory is taken, or `torch.compile` was applied to the whole
                LightningModule.
            ValueError: there is no such module or optimiser.
        """
        _refuse_compiled_steps(pl_module)
        self._attachment.begin(
            _network(pl_module, self._module),
            _chosen(trainer.optimizers, self._optimizer),
            getattr(trainer.precision_plugin, "scaler", None),
            trainer.global_step,
        )

    def on_train_batch_end(self, trainer: Any, *arguments: Any) -> None:
        """Stop the training where the early warning asks for it."""
        if self._attachment.should_stop():
            trainer.should_stop = True

    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        """Read nothing of a validation."""
        self._attachment.pause()

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """Go on with training."""
        self._attachment.go_on()

    def on_save_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: Any) -> None:
        """Write the rows of the steps that the checkpoint has behind it."""
        self._attachment.save()

    def state_dict(self) -> dict[str, Any]:
        """Give the state of the early warning, for the checkpoint."""
        return self._attachment.state()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from the state of a checkpoint, once training goes on."""
        self._attachment.restore(state_dict)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """End the recording."""
        self._attachment.end()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """End the recording without the step that was interrupted."""
        self._attachment.end(exception)

    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """End the recording where nothing else has."""
        self._attachment.end()


def _network(lightning_module: nn.Module, name: str) -> nn.Module:
    """Find the network, whose calls are the passes of the recording."""
    children = dict(lightning_module.named_children())
    if name:
        try:
            return lightning_module.get_submodule(name)
        except AttributeError:
            raise ValueError(
                f"module={name!r} is no module of {type(lightning_module).__name__}, which has "
                f"{', '.join(children) or 'none'}"
            ) from None
    learning = [child for child in children.values() if any(True for _ in child.parameters())]
    has_own = any(True for _ in lightning_module.parameters(recurse=False))
    return learning[0] if len(learning) == 1 and not has_own else lightning_module


def _chosen(optimizers: list[torch.optim.Optimizer], number: int) -> torch.optim.Optimizer:
    if not 0 <= number < len(optimizers):
        raise ValueError(
            f"optimizer={number} is none of the {len(optimizers)} optimisers, which count from 0"
        )
    return optimizers[number]


def _refuse_compiled_steps(lightning_module: Any) -> None:
    if getattr(lightning_module, "_compiler_ctx", None) is not None:
        raise RecordingError(
            f"torch.compile({type(lightning_module).__name__}) makes Lightning compile the whole "
            "training step, inside of which no layer can be told from another. Compile the network "
            "inside of it, as by self.network = torch.compile(network), or train without compiling "
            "while you record."
        )
