"""Runs in processes of their own, several at a time: one that dies takes no other along."""

import multiprocessing
import queue
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from types import FrameType

import torch

from sppkit.cli.training.orders import Begin, Failure, Order, Result
from sppkit.training.outcome import Progress

_CONTEXT = multiprocessing.get_context("spawn")  # a forked process cannot use CUDA
_LISTEN_SECONDS = 0.2
_PATIENCE_SECONDS = 10.0


def train_in_processes(
    order: Order, names: Sequence[str], begin: Begin, *, jobs: int
) -> Iterator[tuple[int, Result]]:
    """Train the runs of an order, so many at a time.

    When the caller is interrupted, no other run begins, and those under way are interrupted too.

    Yields:
        The number of a run that has ended, and what came of it.
    """
    stop = threading.Event()
    slots: queue.SimpleQueue[int] = queue.SimpleQueue()
    for slot in range(jobs):
        slots.put(slot)

    def watch(index: int) -> Result:
        _leave_interruptions_to_the_main_thread()
        slot = slots.get()
        try:
            return _watch(order, index, slot, begin(names[index]), stop)
        finally:
            slots.put(slot)

    with ThreadPoolExecutor(jobs) as threads:
        running = {threads.submit(watch, index): index for index in range(len(names))}
        try:
            for future in as_completed(running):
                yield running[future], future.result()
        finally:
            stop.set()
            threads.shutdown(wait=False, cancel_futures=True)


def _watch(
    order: Order, index: int, slot: int, hear: Callable[[Progress], None], stop: threading.Event
) -> Result:
    """Train one run in a process, and hand on what it tells."""
    receiver, sender = _CONTEXT.Pipe(duplex=False)
    process = _CONTEXT.Process(target=_work, args=(order, index, slot, sender))
    process.start()
    sender.close()  # so that the end of the process is the end of what can be received
    try:
        while not stop.is_set():
            if not receiver.poll(_LISTEN_SECONDS):
                continue
            message: Progress | Result = receiver.recv()
            if not isinstance(message, Progress):
                process.join()
                return message
            hear(message)
        return Failure("interrupted.")
    except (EOFError, OSError):  # the end, between two messages or inside of one
        process.join()
        return Failure(_death(process))
    finally:
        _end(process)
        receiver.close()


def _leave_interruptions_to_the_main_thread() -> None:
    """Block SIGINT in this thread and in the processes that it starts.

    The terminal sends it to all of them; in one that is still importing it would be a traceback.
    """
    if hasattr(signal, "pthread_sigmask"):  # not on Windows
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})


def _end(process: SpawnProcess) -> None:
    """End a process that still runs, if need be by force."""
    if process.is_alive():
        process.terminate()
        process.join(_PATIENCE_SECONDS)
    if process.is_alive():
        process.kill()
        process.join()


def _death(process: SpawnProcess) -> str:
    code = process.exitcode or 0
    how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
    return (
        f"its process {how} before the run ended. Where memory is short, use fewer --jobs or a "
        "smaller batch (-b); --resume goes on from its last checkpoint."
    )


# ------------------------------------------------------------------------------ in the process


def _work(order: Order, index: int, slot: int, sender: Connection) -> None:
    """Train one run and tell of it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal interrupts all; one process decides
    signal.signal(signal.SIGTERM, _interrupt)
    _take_gpu(slot)
    try:
        sender.send(order.carry_out(index, sender.send))
    except (KeyboardInterrupt, BrokenPipeError):
        return  # interrupted, or nobody listens any more


def _take_gpu(slot: int) -> None:
    """Spread what runs at the same time over the GPUs of this machine."""
    if (devices := torch.cuda.device_count()) > 1:
        torch.cuda.set_device(slot % devices)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
