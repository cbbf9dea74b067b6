"""All trainings of all networks: kept in a CSV file, by the hash of what was trained."""

import datetime
import hashlib
import json
import platform
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
import sklearn
import torch

from benchmarks.verdict.network import Network, content_hash
from benchmarks.verdict.training import GRID, PATIENT, Outcome, Setting, train

RESULTS = Path(__file__).parent / "results"
TRAININGS = RESULTS / "trainings.csv"

LEARNED, BORDER = 0.20, 0.60
"""Accuracies: above chance; and from which a network that has not trained is no clear failure."""

COLUMNS = (
    *("key", "network", "family", "fault", "injected_layer", "parameters"),
    *("optimizer", "rate", "seed"),
    *("ended", "accuracy", "accuracies", "first_loss", "last_loss", "epochs", "seconds"),
    *("date", "torch", "sklearn", "python"),
)


def training_key(network_hash: str, setting: Setting) -> str:
    """Hash what was trained and how."""
    text = json.dumps([network_hash, setting.as_dict()], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def read_trainings(path: Path = TRAININGS) -> pd.DataFrame:
    """Read the trainings made so far; an empty frame before the first."""
    if not path.exists():
        return pd.DataFrame(columns=list(COLUMNS))
    return pd.read_csv(path, keep_default_na=False, na_values=["nan"])


def train_all(
    networks: Iterable[Network], path: Path = TRAININGS, say: Callable[[str], None] = print
) -> None:
    """Train what has not been trained; each training is written when it ends.

    A network's grid is left as soon as one training succeeds; those that fail and yet learn a
    little get one long training more. Stopped and started again, it goes on with the first
    training that is not in the file.
    """
    made_before = read_trainings(path).set_index("key")[["ended", "accuracy"]]
    known: dict[str, Any] = {str(k): v for k, v in made_before.to_dict("index").items()}

    def made(network: Network, identity: str, setting: Setting) -> dict[str, Any]:
        key = training_key(identity, setting)
        if key not in known:
            outcome = train(network, setting)
            known[key] = {"ended": outcome.ended, "accuracy": outcome.accuracy}
            _append(path, _row(key, network, setting, outcome))
            say(f"{network.name}, {setting.optimizer} {setting.rate}: {outcome}")
        result: dict[str, Any] = known[key]
        return result

    for network in networks:
        identity, best = content_hash(network), 0.0
        for setting in GRID:
            result = made(network, identity, setting)
            best = max(best, result["accuracy"])
            if result["ended"] == "trained":
                break
        else:
            if LEARNED <= best < BORDER:
                made(network, identity, PATIENT)


def labels(networks: Iterable[Network], path: Path = TRAININGS) -> pd.DataFrame:
    """Say of each network whether any of its trainings succeeded.

    Returns:
        A row per network that is decided: one success, or all of the grid without one. `border`
        are networks that failed and are no clear failures: they reached 0.60, or train when given
        three times as long. Another budget, rate or seed would decide otherwise.
    """
    known = read_trainings(path).drop_duplicates("key", keep="last").set_index("key")
    rows = []
    for network in networks:
        identity = content_hash(network)
        keys = [training_key(identity, setting) for setting in GRID]
        made = known.loc[[key for key in keys if key in known.index]]
        trains = bool((made["ended"] == "trained").any())
        if trains or len(made) == len(GRID):
            patient = known[known.index == training_key(identity, PATIENT)]
            rows.append(_label(network, identity, made, trains, patient))
    return pd.DataFrame(rows)


def _label(
    network: Network, identity: str, made: pd.DataFrame, trains: bool, patient: pd.DataFrame
) -> dict[str, Any]:
    best = made["accuracy"].max()
    is_slow = bool((patient["ended"] == "trained").any())
    return {
        "hash": identity,
        "network": network.name,
        "family": network.family,
        "fault": network.fault,
        "injected_layer": network.injected_layer,
        "trains": trains,
        "border": not trains and (best >= BORDER or is_slow),
        "accuracy": best,
        "trainings": len(made),
        "seconds": made["seconds"].sum(),
    }


def _row(key: str, network: Network, setting: Setting, outcome: Outcome) -> dict[str, Any]:
    return {
        "key": key,
        "network": network.name,
        "family": network.family,
        "fault": network.fault,
        "injected_layer": network.injected_layer,
        "parameters": sum(p.numel() for p in network.build_with(0).parameters()),
        "optimizer": setting.optimizer,
        "rate": setting.rate,
        "seed": setting.seed,
        **asdict(outcome),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "torch": torch.__version__,
        "sklearn": sklearn.__version__,
        "python": platform.python_version(),
    }


def _append(path: Path, row: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    frame = pd.DataFrame([row], columns=list(COLUMNS))
    frame.to_csv(path, mode="a", header=not path.exists(), index=False, float_format="%.6g")
