"""What sppkit says of each network before it is trained: recorded once, judged as often as needed.

Recordings are kept in a folder outside of version control, by the hash of network and conditions.
What is read of them goes into two files that are committed: the named statistics of every seed,
which the weighing is fitted to, and what rules and earlier detectors say.
"""

import hashlib
import json
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd

import sppkit
from benchmarks.verdict.detectors import flagged_by
from benchmarks.verdict.network import Network, content_hash
from benchmarks.verdict.offenders import distance
from sppkit.gate import record_evidence
from sppkit.recording import Recording
from sppkit.rules import Diagnosis, Severity, judge
from sppkit.rules.evidence import Evidence
from sppkit.rules.named import named_by_seed
from sppkit.rules.offender import first_offender

RECORDINGS = Path(__file__).parent / "recordings"

INPUTS = ("gaussian", "digits")
"""Noise with random labels, as `sppkit check` draws by default, and the real pictures."""

SEEDS = 5

WEIGHED = "SPP001"
"""The rule whose coefficients are fitted here, and which is therefore left out of the others."""


def path_of(network: Network, source: str) -> Path:
    """Name the file of a network's recording."""
    text = json.dumps([content_hash(network), source, SEEDS])
    return RECORDINGS / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.parquet"


def record(network: Network, source: str, path: Path) -> Recording:
    """Record the evidence of a network, or read it where that has been done."""
    if path.exists():
        return sppkit.read(path)
    recording = record_evidence(network.build, input=source, input_size=(1, 8, 8), seeds=SEEDS)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".unfinished")
    recording.save(unfinished)
    unfinished.rename(path)  # a recording that was interrupted is made again
    return recording


def record_all(
    networks: Iterable[Network],
    sources: Iterable[str] = INPUTS,
    say: Callable[[str], None] = print,
) -> None:
    """Record the evidence of all networks, under each input."""
    chosen = list(networks)
    for source in sources:
        for network in chosen:
            path = path_of(network, source)
            if not path.exists():
                record(network, source, path)
                say(f"{network.name}, {source}")


def examine(network: Network, source: str, recording: Recording) -> dict[str, Any]:
    """Judge the recording of a network by all rules but the weighed evidence.

    Returns:
        What was judged; codes of errors and warnings; the first offender of these, the layer that
        the weighed evidence would name, and their distances from the injected layer; flags of the
        earlier detectors.
    """
    diagnosis = judge(recording, ignore=(WEIGHED,))
    unrehearsed = judge(without_rehearsal(recording), ignore=(WEIGHED,))
    suspect = first_offender(Evidence.of(recording))
    named = {
        "first_offender": diagnosis.first_offender.layer if diagnosis.first_offender else "",
        "suspect": suspect.layer if suspect else "",
    }
    structure, injected = recording.structure(), network.injected_layer
    return {
        "hash": content_hash(network),
        "network": network.name,
        "input": source,
        "errors": _codes(diagnosis, Severity.ERROR),
        "errors_unrehearsed": _codes(unrehearsed, Severity.ERROR),
        "warnings": _codes(diagnosis, Severity.WARNING),
        "injected_layer": injected,
        **named,
        **{f"distance_of_{k}": distance(structure, v, injected) for k, v in named.items()},
        "nonfinite": bool((recording.table()["nonfinite_fraction"] > 0).any()),
        **flagged_by(recording),
    }


def without_rehearsal(recording: Recording) -> Recording:
    """Forget how the rehearsal of training went, as of a network that is too large for one."""
    metadata = {
        run: {key: value for key, value in stated.items() if key != "rehearsal"}
        for run, stated in recording.metadata.items()
    }
    return Recording.from_frames(recording.table(), recording.structure(), metadata)


def _codes(diagnosis: Diagnosis, severity: Severity) -> str:
    return " ".join(sorted({f.code for f in diagnosis.findings if f.severity == severity}))


def statistics_of(network: Network, source: str, recording: Recording) -> pd.DataFrame:
    """Read the named statistics of a recording, a row per seed."""
    evidence = Evidence.of(recording)
    values = {name: pd.Series(array) for name, array in named_by_seed(evidence).items()}
    by_seed = pd.DataFrame(values, index=range(len(evidence.seeds)))  # NaN where none is known
    return by_seed.assign(seed=list(evidence.seeds), hash=content_hash(network), input=source)


def judge_all(networks: Iterable[Network], processes: int = 2) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Judge every recording there is: what is said of each, and its statistics by seed.

    An input is left out until it has been recorded for every network.
    """
    networks = list(networks)
    of_input = {source: [path_of(network, source) for network in networks] for source in INPUTS}
    chosen = [
        (network, source, path)
        for source, paths in of_input.items()
        if all(path.exists() for path in paths)
        for network, path in zip(networks, paths, strict=True)
    ]
    with ProcessPoolExecutor(processes) as pool:
        judged = list(pool.map(_judge, *zip(*chosen, strict=True), chunksize=10))
    return pd.DataFrame([said for said, _ in judged]), pd.concat(
        [statistics for _, statistics in judged], ignore_index=True
    )


def _judge(network: Network, source: str, path: Path) -> tuple[dict[str, Any], pd.DataFrame]:
    recording = sppkit.read(path)
    return examine(network, source, recording), statistics_of(network, source, recording)
