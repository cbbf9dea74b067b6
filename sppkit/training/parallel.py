"""Training in many processes: one run, whose batches are shared out among ranks.

Each rank learns from its share of a batch, gradients are averaged over ranks, and so the result is
that of one process with the whole batch, but for rounding, wherever samples do not meet in the
network. One rank writes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.checkpoint import state_dict as states
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

from sppkit.errors import TrainingError
from sppkit.training.recipes import Recipe

Kind = Literal["none", "ddp", "fsdp"]

SHARDED_PARAMETERS = 1_000_000
"""Parameters from which on a module is sharded by itself: it is gathered for its own pass only."""

_WHOLE = states.StateDictOptions(full_state_dict=True, cpu_offload=True)
_FROM_WHOLE = states.StateDictOptions(full_state_dict=True)


@dataclass(frozen=True)
class Parallel:
    """How a run is spread over processes.

    Attributes:
        kind: "none"; "ddp", the network whole on every rank; "fsdp", its parameters sharded.
        rank: of this process.
        size: processes.
    """

    kind: Kind = "none"
    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process writes and tells."""
        return self.rank == 0

    def settings(self) -> dict[str, object]:
        """List what a result depends on, where there are several processes."""
        return {} if self.kind == "none" else {"parallel": self.kind, "processes": self.size}

    def check(self, recipe: Recipe, samples_per_step: int, *, amp: str, compile: bool) -> None:
        """Refuse what cannot be shared out.

        Raises:
            TrainingError: a batch has no equal shares, or something does not work with shards.
        """
        if samples_per_step % self.size:
            below = max(1, samples_per_step // self.size) * self.size
            raise TrainingError(
                f"a batch of {samples_per_step} samples has no equal shares for {self.size} "
                f"processes; choose another with -b, such as {below}."
            )
        if self.kind != "fsdp":
            return
        lacking = {
            "an average of the weights (--average)": recipe.averaging_decay is not None,
            "float16 (--amp fp16)": amp == "fp16",
            "--compile": compile,
            "unit-wise or value clipping (--clip agc, value)": recipe.clipping is not None
            and recipe.clipping.method != "norm",
        }
        if found := [name for name, is_wanted in lacking.items() if is_wanted]:
            raise TrainingError(
                f"--parallel fsdp does not go together with {' and '.join(found)}; leave that out, "
                "or use --parallel ddp."
            )

    def shard(self, model: nn.Module) -> None:
        """Shard the parameters in place, for "fsdp", before the optimiser is made."""
        if self.kind != "fsdp":
            return
        for module in reversed(list(model.modules())):  # inner ones first
            is_called = not isinstance(module, nn.ModuleList | nn.ModuleDict)
            if module is model or (is_called and _own_size(module) >= SHARDED_PARAMETERS):
                fully_shard(module)

    def wrap(self, called: nn.Module, device: str) -> nn.Module:
        """Give what averages gradients over ranks when it is called, for "ddp"."""
        if self.kind != "ddp":
            return called
        devices = [torch.cuda.current_device()] if torch.device(device).type == "cuda" else None
        return DistributedDataParallel(called, device_ids=devices)

    # ------------------------------------------------------------------------------- exchanges

    def sum(self, values: Tensor) -> Tensor:
        """Add a tensor up over ranks."""
        if self.size > 1:
            values = values.clone()
            dist.all_reduce(values)
        return values

    def first_says(self, value: Any) -> Any:
        """Give all ranks what the first one says, so that all of them do the same."""
        if self.size == 1:
            return value
        told = [value]
        dist.broadcast_object_list(told, src=0)
        return told[0]

    def of_all(self, value: Any) -> list[Any]:
        """Give all ranks the objects of all ranks."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value)
        return values

    def share_buffers(self, network: nn.Module) -> None:
        """Give all ranks the buffers of the first, such as the means of batch normalisations.

        Each rank has made its own from its share, and those of the first are kept in checkpoints.
        """
        if self.size > 1:
            for buffer in network.buffers():
                dist.broadcast(buffer, src=0)

    # ------------------------------------------------------------------------------ checkpoints

    def state(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
        """Give the state of network and optimiser, whole; on all ranks, for the first to write."""
        if self.kind != "fsdp":
            return {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
        of_model, of_optimizer = states.get_state_dict(model, optimizer, options=_WHOLE)
        return {"model": of_model, "optimizer": of_optimizer}

    def restore(
        self, state: Mapping[str, Any], model: nn.Module, optimizer: torch.optim.Optimizer
    ) -> None:
        """Put the state of network and optimiser back."""
        if self.kind != "fsdp":
            model.load_state_dict(state["model"])
            optimizer.load_state_dict(state["optimizer"])
            return
        states.set_state_dict(
            model,
            optimizer,
            model_state_dict=state["model"],
            optim_state_dict=state["optimizer"],
            options=_FROM_WHOLE,
        )


ALONE = Parallel()


def _own_size(module: nn.Module) -> int:
    """Count the parameters that no sharded module inside holds already."""
    return sum(
        parameter.numel()
        for parameter in module.parameters()
        if not isinstance(parameter, torch.distributed.tensor.DTensor)
    )
