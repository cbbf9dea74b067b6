"""Record what a Trainer of Hugging Face's transformers trains.

trainer = Trainer(model, arguments, callbacks=[SignalPropagationCallback("runs/a")], ...)
"""

import gc
import json
import os
import re
from collections.abc import Iterable, Mapping
from typing import Any

from torch import nn

from sppkit.early_warning.early_warning import EarlyWarning, StopOn
from sppkit.integrations.attachment import Attachment
from sppkit.integrations.libraries import library
from sppkit.integrations.tracker import Tracker

_WRAPPERS = frozenset(
    {
        *("OptimizedModule", "DistributedDataParallel", "FullyShardedDataParallel"),
        *("DeepSpeedEngine", "DataParallel"),  # the last of which `record` refuses
    }
)


class SignalPropagationCallback(
    library("transformers", "transformers").TrainerCallback,  # type: ignore[misc]
    library("transformers.trainer_callback", "transformers").ExportableState,  # type: ignore[misc]
):
    """Record a training of a transformers Trainer into a run directory.

    Steps are those of the optimiser: the batches whose gradients are accumulated are one step, and
    what gradient clipping changes has rows of its own. Gradients are those of the loss without the
    factor of a gradient scaler. Evaluations are not recorded. With several processes, what all of
    them read is merged into one recording (docs/distributed.md). A model that the Trainer compiles
    (``torch_compile=True``) is recorded.

    A run that is resumed from a checkpoint goes on in its run directory, and warns as one that was
    not interrupted. In a hyperparameter search each trial has a folder in the run directory, by its
    name (`hp_name`) or as trial-0, trial-1, ... Nothing stays behind on the model when the training
    ends. A Trainer does not tell its callbacks of an exception: call
    `close()` where training has raised one and the model is to be used on.

    Args:
        run_directory: a folder that `sppkit plot` and `sppkit.read` take, at any time.
        trackers: who is told what is recorded (docs/trackers.md).
        stop_on: "error" or "warning" ends the training at an early warning of that severity.
        options: any other argument of `sppkit.record`; `every` is 10 here.

    Raises:
        TypeError: an option is none of `sppkit.record`.
    """

    def __init__(
        self,
        run_directory: str | os.PathLike[str],
        *,
        trackers: Iterable[Tracker] = (),
        stop_on: StopOn = "never",
        **options: Any,
    ) -> None:
        super().__init__()
        self._attachment = Attachment(run_directory, trackers, stop_on, options)
        self._arguments = {"run_directory": str(run_directory), "stop_on": stop_on, **options}
        self._trials = 0

    @property
    def recording(self) -> Any:
        """The recording in the making, or the latest; None before the training."""
        return self._attachment.recording

    @property
    def warning(self) -> EarlyWarning | None:
        """Its early warning."""
        return self._attachment.warning

    def close(self) -> None:
        """End the recording, and leave the model without a hook, after an exception."""
        self._attachment.end()

    def on_train_begin(
        self, args: Any, state: Any, control: Any, model: Any, optimizer: Any, **others: Any
    ) -> None:
        """Begin to record.

        Raises:
            RecordingError: the run directory holds another recording.
            TypeError: the Trainer runs copies of the model on several GPUs in one process.
        """
        self._attachment.restore(self._stated_in(state.stateful_callbacks or {}))
        self._attachment.begin(
            outermost(model),
            getattr(optimizer, "optimizer", optimizer),
            getattr(optimizer, "scaler", None),
            state.global_step,
            self._folder_of_trial(state),
        )
        self._attachment.pause()

    def on_step_begin(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """Read the step that begins."""
        self._attachment.go_on()

    def on_step_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """Read nothing between steps, where evaluations are, and stop where a warning asks to."""
        self._attachment.pause()
        if self._attachment.should_stop():
            control.should_training_stop = True

    def on_save(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """Write the rows of the steps that the checkpoint has behind it."""
        self._attachment.save()

    def on_train_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """End the recording."""
        self._attachment.end()

    def state(self) -> dict[str, Any]:
        """Give the state of the early warning for the checkpoint, as transformers asks for it."""
        arguments = {name: value for name, value in self._arguments.items() if _is_json(value)}
        return {"args": arguments, "attributes": {"early_warning": self._attachment.state()}}

    def _stated_in(self, stateful: Mapping[str, Any]) -> Mapping[str, Any]:
        """Find the state of this callback among those of a checkpoint, by the run directory."""
        stated = stateful.get(type(self).__name__, [])
        for each in stated if isinstance(stated, list) else [stated]:
            if each["args"].get("run_directory") == self._arguments["run_directory"]:
                found: Mapping[str, Any] = each["attributes"]["early_warning"]
                return found
        return {}

    def _folder_of_trial(self, state: Any) -> str:
        """Name the folder of a trial of a hyperparameter search; none for a training alone."""
        if not state.is_hyper_param_search:
            return ""
        name = state.trial_name or f"trial-{self._trials}"
        self._trials += 1
        return re.sub(r"[^\w.=+-]+", "_", str(name)).lstrip(".") or "trial"


def _is_json(value: object) -> bool:
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return False
    return True


def outermost(model: nn.Module) -> nn.Module:
    """Find what is called in the place of a model: a compiled one, or a wrapper for many processes.

    A callback is handed the bare model alone, though compiled code must be listened to where it is
    entered; so wrappers are looked for among all objects there are.
    """
    kinds = {type(found) for found in gc.get_objects() if type(found).__name__ in _WRAPPERS}
    kinds = {kind for kind in kinds if issubclass(kind, nn.Module)}
    wrappers = [found for found in gc.get_objects() if type(found) in kinds]
    while around := [w for w in wrappers if _inside(w) is model]:
        model = around[-1]
    return model


def _inside(wrapper: nn.Module) -> nn.Module | None:
    children = wrapper._modules
    return children.get("_orig_mod") or children.get("module")
