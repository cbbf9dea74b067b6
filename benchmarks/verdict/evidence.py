"""What sppkit says of each network before it is trained: recorded once, judged as often as needed.

Recordings are kept in a folder outside of version control, by the hash of network and conditions;
what was read of them is a CSV file that is committed.
"""

import hashlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pandas as pd

import sppkit
from benchmarks.verdict.detectors import flagged_by
from benchmarks.verdict.labels import RESULTS
from benchmarks.verdict.network import Network, content_hash
from sppkit.gate import record_evidence
from sppkit.recording import Recording
from sppkit.rules import Diagnosis, Severity, judge

RECORDINGS = Path(__file__).parent / "recordings"
EVIDENCE = RESULTS / "evidence.csv"

INPUTS = ("gaussian", "digits")
"""Noise with random labels, as `sppkit check` draws by default, and the real pictures."""

SEEDS = 5


def recorded(network: Network, source: str, folder: Path = RECORDINGS) -> Recording:
    """Read the recording of a network's evidence, or make it."""
    conditions = {"input": source, "input_size": (1, 8, 8), "seeds": SEEDS}
    text = json.dumps([content_hash(network), conditions], sort_keys=True)
    path = folder / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.parquet"
    if path.exists():
        return sppkit.read(path)
    recording = record_evidence(network.build, **conditions)
    folder.mkdir(parents=True, exist_ok=True)
    recording.save(path)
    return recording


def record_all(
    networks: Iterable[Network], folder: Path = RECORDINGS, say: Callable[[str], None] = print
) -> None:
    """Record the evidence of all networks, under all inputs."""
    for network in networks:
        for source in INPUTS:
            recorded(network, source, folder)
        say(network.name)


def examine_all(networks: Iterable[Network], folder: Path = RECORDINGS) -> pd.DataFrame:
    """Judge all recordings: a row for each network and input."""
    return pd.DataFrame(
        [examine(network, source, folder) for network in networks for source in INPUTS]
    )


def examine(network: Network, source: str, folder: Path = RECORDINGS) -> dict[str, Any]:
    """Judge one recording.

    Returns:
        What was judged; verdict, codes of errors and warnings, the first offender; flags of the
        earlier detectors; the named statistics.
    """
    recording = recorded(network, source, folder)
    diagnosis = judge(recording)
    return {
        "hash": content_hash(network),
        "network": network.name,
        "family": network.family,
        "injected_layer": network.injected_layer,
        "input": source,
        **_said(diagnosis),
        **flagged_by(recording),
        **diagnosis.evidence,
    }


def _said(diagnosis: Diagnosis) -> dict[str, Any]:
    def codes(severity: Severity) -> str:
        return " ".join(sorted({f.code for f in diagnosis.findings if f.severity == severity}))

    first = diagnosis.first_offender
    return {
        "verdict": diagnosis.verdict,
        "errors": codes(Severity.ERROR),
        "warnings": codes(Severity.WARNING),
        "first_offender": first.layer if first else "",
    }
