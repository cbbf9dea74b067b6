"""One command in several processes, as torchrun starts them: they train each run together."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist

from sppkit.cli.flags import Device
from sppkit.cli.training.flags import Executor, ParallelKind, Running
from sppkit.training.parallel import ALONE, Parallel

_COMMAND = "torchrun --nproc-per-node 2 -m sppkit train"


@contextmanager
def joined(running: Running) -> Iterator[Parallel]:
    """Join the processes of torchrun while the block runs; nothing without --parallel.

    Raises:
        ValueError: --parallel without torchrun, torchrun without --parallel, or flags that do not
            go together.
    """
    kind = running.parallel
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if kind is None:
        _check_is_alone(size)
        yield ALONE
        return
    _check(kind, running)
    if uses_cuda(running.device):
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    # gloo beside nccl, for what is exchanged on the CPU
    dist.init_process_group("cpu:gloo,cuda:nccl" if uses_cuda(running.device) else "gloo")
    yield Parallel(kind.value, dist.get_rank(), dist.get_world_size())
    dist.destroy_process_group()  # not after an error: others may wait in it, until torchrun ends


def uses_cuda(device: Device) -> bool:
    """Say whether the network will be on a GPU."""
    return device is Device.CUDA or (device is Device.AUTO and torch.cuda.is_available())


def _check_is_alone(size: int) -> None:
    if size > 1:
        raise ValueError(
            f"{size} processes were started, which would all write the same runs. Say by "
            "--parallel ddp (the network whole in each) or --parallel fsdp (its parameters "
            "sharded) that they are to train together."
        )


def _check(kind: ParallelKind, running: Running) -> None:
    if "RANK" not in os.environ:
        raise ValueError(
            f"--parallel {kind.value} trains in the processes that torchrun starts, and there is "
            f"one alone. Start it by {_COMMAND} ... --parallel {kind.value}."
        )
    if running.jobs is not None or running.executor is not Executor.PROCESSES:
        raise ValueError(
            "--parallel trains one run in all processes, and --jobs and --executor several runs "
            "at a time; keep one of them."
        )
