"""Record seeds once, decide thousands of times, and say how often the verdict flips."""

import argparse
import datetime
import fnmatch
import json
import math
from pathlib import Path
from typing import Any

import numpy as np

import sppkit
from benchmarks.flake.networks import (
    Candidate,
    full_size,
    plain_networks,
    small_references,
)
from benchmarks.flake.replay import RecordedSeeds, decisions, flake_rate
from sppkit.gate import record_evidence

HERE = Path(__file__).parent
RECORDINGS = HERE / "recordings"


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.flake", description=__doc__)
    parser.add_argument("--seeds", type=int, default=200, help="recorded of each network")
    parser.add_argument("--resamples", type=int, default=10_000, help="decisions of each network")
    parser.add_argument("--full-size", action="store_true", help="five large networks instead")
    parser.add_argument("--match", default="*", help="only networks whose name matches this glob")
    given = parser.parse_args()
    small = [*small_references(), *plain_networks()]
    place = HERE / ("results_full_size.json" if given.full_size else "results.json")
    for candidate in full_size() if given.full_size else small:
        if fnmatch.fnmatch(candidate.name, given.match):
            result = _result(candidate, given.seeds, given.resamples)
            print(candidate.name, json.dumps(result), flush=True)
            _keep(place, candidate.name, result)


def _keep(place: Path, name: str, result: dict[str, Any]) -> None:
    """Write the result of a network beside those of the others."""
    results = json.loads(place.read_text()) if place.exists() else {}
    place.write_text(json.dumps({**results, name: result}, indent=1) + "\n")


def _result(candidate: Candidate, seeds: int, resamples: int) -> dict[str, Any]:
    recorded = RecordedSeeds(_recorded(candidate, seeds))
    verdicts, numbers = decisions(recorded, resamples, generator=np.random.default_rng(0))
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "sppkit": sppkit.__version__,
        "seeds": seeds,
        "resamples": resamples,
        "expected": candidate.expected,
        "verdicts": dict(verdicts),
        "flake_rate": flake_rate(verdicts),
        "upper_bound": _upper_bound(flake_rate(verdicts), resamples),
        "seeds_needed": {str(n): count for n, count in sorted(numbers.items())},
    }


def _recorded(candidate: Candidate, seeds: int) -> sppkit.Recording:
    RECORDINGS.mkdir(exist_ok=True)
    path = RECORDINGS / f"{candidate.name.replace(' ', '_').replace(':', '_')}-{seeds}.parquet"
    if path.exists():
        return sppkit.read(path)
    recording = record_evidence(
        candidate.build,
        input_size=candidate.input_size,
        seeds=seeds,
        rehearsal=seeds,  # each of them may be among the first of a decision
        run=candidate.name,
    )
    recording.save(path)
    return recording


def _upper_bound(rate: float, trials: int) -> float:
    """Give the upper end of Wilson's interval at 95 %."""
    z = 1.96
    centre = rate + z * z / (2 * trials)
    spread = z * math.sqrt(rate * (1 - rate) / trials + z * z / (4 * trials**2))
    return (centre + spread) / (1 + z * z / trials)


if __name__ == "__main__":
    main()
