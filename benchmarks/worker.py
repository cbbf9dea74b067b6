"""Run one measurement in a process of its own: nothing of another one is left in it.

`python -m benchmarks.worker TASK ANSWER` reads a pickled request from its standard input and
writes the pickled answer to the file; what libraries print in between does not matter.
"""

import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.kernel_choice import VARIABLE
from benchmarks.machine import ROOT


class WorkerError(Exception):
    """The process of a measurement ended without an answer."""


def run_apart(task: str, request: Any, *, kernel: str, threads: int) -> Any:
    """Run a task in a new process, with the kernel and the threads that are asked for.

    Raises:
        WorkerError: the process died.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "answer"
        run = subprocess.run(
            [sys.executable, "-m", "benchmarks.worker", task, str(path)],
            input=pickle.dumps(request),
            env=_environment(kernel, threads),
            capture_output=True,
            check=False,
        )
        if path.exists():
            return pickle.loads(path.read_bytes())
    lines = run.stderr.decode(errors="replace").strip().splitlines() or ["no message"]
    raise WorkerError(f"the process ended with code {run.returncode}: {lines[-1]}")


def _environment(kernel: str, threads: int) -> dict[str, str]:
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        **os.environ,
        VARIABLE: kernel,
        "OMP_NUM_THREADS": str(threads),
        "PYTHONPATH": os.pathsep.join(paths),
    }


def tasks() -> dict[str, Callable[[Any], Any]]:
    """Name what a process can be asked for; torch is imported in it, not before."""
    from benchmarks.measuring import measure_overhead
    from benchmarks.memory import measure_memory
    from benchmarks.profile import measure_profile
    from benchmarks.reads import measure_reads

    return {
        "overhead": measure_overhead,
        "memory": measure_memory,
        "profile": measure_profile,
        "reads": measure_reads,
    }


def main() -> None:
    """Answer the request on the standard input."""
    task, path = sys.argv[1:]
    request = pickle.load(sys.stdin.buffer)
    Path(path).write_bytes(pickle.dumps(tasks()[task](request)))


if __name__ == "__main__":
    main()
