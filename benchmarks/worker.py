"""Run one measurement in a process of its own: nothing of another one is left in it.

`python -m benchmarks.worker ANSWER` reads a request from its standard input and writes the answer to the
file; what libraries print in between does not matter.
"""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.kernel_choice import VARIABLE
from benchmarks.machine import ROOT
from benchmarks.measurement import Measurement, Request, Status
from benchmarks.pairs import Effort
from benchmarks.spread import Spread
from benchmarks.workloads import Circumstances


def measure_apart(request: Request) -> Measurement:
    """Measure in a new process; if it dies, that is the answer."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "answer.json"
        run = subprocess.run(
            [sys.executable, "-m", "benchmarks.worker", str(path)],
            input=json.dumps(asdict(request)),
            env=_environment(request),
            capture_output=True,
            text=True,
            check=False,
        )
        if path.exists():
            return _answer(json.loads(path.read_text()))
    reason = (run.stderr.strip() or "no message").splitlines()[-1]
    note = f"the process ended with code {run.returncode}: {reason}"
    return Measurement(request.workload, request.variant, Status.RAISES, notes=(note,))


def _environment(request: Request) -> dict[str, str]:
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        **os.environ,
        VARIABLE: request.kernel,
        "OMP_NUM_THREADS": str(request.threads),
        "PYTHONPATH": os.pathsep.join(paths),
    }


def _answer(data: dict[str, Any]) -> Measurement:
    for name in ("processor_ratio", "wall_ratio"):
        data[name] = data[name] and Spread(*data[name])
    return Measurement(**{**data, "status": Status(data["status"]), "notes": tuple(data["notes"])})


def _request(data: dict[str, Any]) -> Request:
    circumstances = Circumstances(**data.pop("circumstances"))
    return Request(**{**data, "circumstances": circumstances, "effort": Effort(**data["effort"])})


def main() -> None:
    """Answer the request on the standard input."""
    from benchmarks.measuring import measure

    answer = measure(_request(json.load(sys.stdin)))
    Path(sys.argv[1]).write_text(json.dumps(asdict(answer)))


if __name__ == "__main__":
    main()
