"""Runs spread over the workers of a Ray cluster, or over this machine where there is none."""

from collections.abc import Iterator, Sequence
from typing import Any

from sppkit.cli.training.orders import Begin, Failure, Order, Result
from sppkit.cli.training.tasks import PlannedRun
from sppkit.errors import TrainingError
from sppkit.training.outcome import Outcome, Progress

_LISTEN_SECONDS = 0.2


def check_ray() -> None:
    """Refuse to begin where Ray is missing.

    Raises:
        TrainingError: it is not installed.
    """
    try:
        import ray  # noqa: F401  # it is looked for, not used yet
    except ImportError as error:
        raise TrainingError(
            "--executor ray needs Ray, which is not installed here. Install it by pip install "
            "'sppkit[ray]', or leave --executor out: --jobs N runs N processes on this machine."
        ) from error


def train_with_ray(
    order: Order, planned: Sequence[PlannedRun], begin: Begin, *, jobs: int | None
) -> Iterator[tuple[int, Result]]:
    """Train the runs of an order on the cluster that RAY_ADDRESS names, or one of this machine.

    Every machine needs sppkit, the networks and the data in the same places, and the folder of the
    runs on a file system that all share.

    Args:
        order: of the command.
        planned: its runs.
        begin: is told of each run that is handed over.
        jobs: runs at a time; None leaves it to the cluster, a processor or a GPU for each.

    Yields:
        The number of a run that has ended, and what came of it.
    """
    import ray
    from ray.util.queue import Queue

    is_ours = not ray.is_initialized()
    if is_ours:
        ray.init(log_to_driver=False, include_dashboard=False)
    uses_gpu = any(run.task.device == "cuda" for run in planned)
    task = ray.remote(num_cpus=1, num_gpus=int(uses_gpu), max_retries=0)(_carry_out)
    progress = Queue()
    heard, running = dict[int, Any](), dict[Any, int]()
    try:
        for index, run in enumerate(planned):
            while len(running) == (jobs or len(planned)):
                yield from _ended(running, planned, progress, heard)
            heard[index] = begin(run.name)
            running[task.remote(order, index, progress)] = index
        while running:
            yield from _ended(running, planned, progress, heard)
    finally:
        for reference in running:
            ray.cancel(reference)
        progress.shutdown()
        if is_ours:
            ray.shutdown()


def _ended(
    running: dict[Any, int], planned: Sequence[PlannedRun], progress: Any, heard: dict[int, Any]
) -> Iterator[tuple[int, Result]]:
    """Wait a moment; hand on what was told, and give the runs that have ended."""
    import ray

    done, _ = ray.wait(list(running), timeout=_LISTEN_SECONDS)
    for index, told in progress.get_nowait_batch(progress.qsize()):
        heard[index](told)
    for reference in done:
        index = running.pop(reference)
        yield index, _result(reference, planned[index])


def _result(reference: Any, run: PlannedRun) -> Result:
    import ray

    try:
        result: Result = ray.get(reference)
    except ray.exceptions.RayError as error:
        return Failure(f"its worker ended before the run did: {_reason(error)}", str(error))
    if isinstance(result, Outcome) and not run.folder.holds_a_run:
        return Failure(
            f"it has ended, on a machine whose '{run.folder.path}' is not that of this one. Give "
            "a folder that all machines share with -o."
        )
    return result


def _reason(error: Exception) -> str:
    """Say in a line why a worker ended: the cause that it told of, or what Ray makes of it."""
    said = str(getattr(error, "cause", None) or error)
    return next((line for line in said.splitlines() if line.strip()), type(error).__name__)


def _carry_out(order: Order, index: int, progress: Any) -> Result:
    def hear(told: Progress) -> None:
        progress.put_nowait((index, told))

    return order.carry_out(index, hear)
