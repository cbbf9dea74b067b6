"""Record a loop that Accelerate prepared.

with record(accelerator, model, optimizer, run_directory="runs/a") as recording: ...
"""

import os
from typing import Any

from torch import nn

from sppkit.capture.record import record as record_loop
from sppkit.capture.recorder import Recorder
from sppkit.integrations.libraries import library


def record(
    accelerator: Any,
    model: nn.Module,
    optimizer: Any,
    *,
    run_directory: str | os.PathLike[str] | None = None,
    **options: Any,
) -> Recorder:
    """Record what `Accelerator.prepare` has prepared, in a `with` block around the training loop.

    Steps are those that the optimiser really takes: calls of `optimizer.step()` inside of
    ``accelerator.accumulate(model)`` that only accumulate belong to the step that follows.
    Gradients are those of the loss without the factor of the accelerator's gradient scaler. On
    several processes call it on every rank; what all of them read is merged (docs/distributed.md).

    Args:
        accelerator: the `Accelerator`.
        model, optimizer: as `accelerator.prepare` returned them.
        run_directory: a folder that `sppkit plot` and `sppkit.read` take, at any time.
        options: any other argument of `sppkit.record`.

    Raises:
        TypeError: the first argument is no `Accelerator`, the optimiser was not prepared, or what
            `sppkit.record` raises.
        ValueError: as `sppkit.record`.
    """
    accelerate = library("accelerate", "accelerate")
    if not isinstance(accelerator, accelerate.Accelerator):
        raise TypeError(
            f"accelerator must be an accelerate.Accelerator, not {type(accelerator).__name__}"
        )
    if not isinstance(optimizer, accelerate.optimizer.AcceleratedOptimizer):
        raise TypeError(
            f"optimizer must be what accelerator.prepare returned, not {type(optimizer).__name__}: "
            "model, optimizer = accelerator.prepare(model, optimizer)"
        )
    return record_loop(
        model,
        optimizer=optimizer.optimizer,
        scaler=accelerator.scaler,
        run_directory=run_directory,
        **options,
    )
