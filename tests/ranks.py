"""Run a function in several processes that form a gloo group, and never wait for ever."""

import multiprocessing
import pickle
import time
import traceback
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist

from sppkit.capture.processes import side_group

# A fork server imports torch once and forks ranks that have never run a backward pass.
_METHOD = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
_USED = (
    *("sppkit.capture.recorder", "pandas", "pyarrow", "torch._dynamo", "torch.distributed.fsdp"),
    *("sppkit.training.loop", "sklearn.datasets"),
)
_CONTEXT = multiprocessing.get_context(_METHOD)
_CONTEXT.set_forkserver_preload(["tests.ranks", *_USED])


def run_ranks(function, folder, *arguments, size=2, timeout=60.0, may_die=False):
    """Call `function(rank, *arguments)` on each rank; return the results in order of rank.

    A rank that still runs after `timeout` seconds is killed, and so are the others. A rank that
    died without a result fails the test, or counts as None where it may die.
    """
    folder = Path(folder)
    ranks = [
        _CONTEXT.Process(target=_main, args=(function, folder, rank, size, arguments))
        for rank in range(size)
    ]
    for process in ranks:
        process.start()
    end = time.monotonic() + timeout
    for process in ranks:
        process.join(max(0.0, end - time.monotonic()))
    hung = [rank for rank, process in enumerate(ranks) if process.is_alive()]
    for process in ranks:
        process.kill()
        process.join()
    assert not hung, f"ranks {hung} still ran after {timeout:g} s"
    return [_result(folder, rank, may_die) for rank in range(size)]


def _main(function, folder, rank, size, arguments):
    torch.set_num_threads(1)
    side_group.PATIENCE = timedelta(seconds=20)
    try:
        dist.init_process_group(
            "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=size
        )
        result = function(rank, *arguments)
        failure = None
    except BaseException:
        result, failure = None, traceback.format_exc()
    (folder / f"rank{rank}.pickle").write_bytes(pickle.dumps((result, failure)))
    dist.destroy_process_group()


def _result(folder, rank, may_die):
    path = folder / f"rank{rank}.pickle"
    if may_die and not path.exists():
        return None
    assert path.exists(), f"rank {rank} ended without a result"
    result, failure = pickle.loads(path.read_bytes())
    assert failure is None, f"rank {rank} failed:\n{failure}"
    return result
