"""The snippets of docs/trainers.md and docs/trackers.md run as they stand."""

import re
import warnings
from collections import OrderedDict
from pathlib import Path

import pytest
import torch

import sppkit
from tests.integrations import library
from tests.integrations.test_scalars import train

DOCS = Path(__file__).parent.parent.parent / "docs"
SNIPPET = re.compile(r"<!-- snippet: (\w+) -->\n```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
RUNS = {"lightning": 4, "transformers": 2, "accelerate": 2, "plain": 10}  # recorded steps
TRACKERS = {"tensorboard": "logs/events*", "wandb": "wandb/*/*.wandb", "mlflow": "mlflow.db"}


def snippets(page):
    return dict(SNIPPET.findall((DOCS / page).read_text()))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, value in {"WANDB_SILENT": "true", "WANDB_CONSOLE": "off"}.items():
        monkeypatch.setenv(name, value)
    return tmp_path


def run(source):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the libraries, as on their users' screens
        names = {"__name__": "snippet"}
        exec(compile(source, "snippet", "exec"), names)
        return names


def test_every_snippet_is_run_here():
    assert set(snippets("trainers.md")) == set(RUNS)
    assert set(snippets("trackers.md")) == {*TRACKERS, "choice"}


@pytest.mark.parametrize("name", RUNS)
def test_the_snippet_of_a_trainer_records_a_run(name, folder):
    if name != "plain":
        library(name)
    torch.manual_seed(0)
    run(snippets("trainers.md")[name])
    recording = sppkit.read(f"runs/{name}")
    assert recording.table()["step"].nunique() == RUNS[name]
    assert sppkit.plot_signal_propagation(recording).axes


@pytest.mark.parametrize("name", TRACKERS)
def test_the_snippet_of_a_tracker_writes_to_it(name, folder):
    library(name)
    if name == "mlflow":
        library("sqlalchemy")
    run(snippets("trackers.md")[name])
    assert sppkit.read("runs/a").table()["step"].nunique() == 10
    assert list(folder.glob(TRACKERS[name]))


def test_the_snippet_that_chooses_scalars_tells_of_these_only(folder):
    library("tensorboard")
    read = library("tensorboard.backend.event_processing.event_accumulator").EventAccumulator
    parts = {name: torch.nn.Linear(4, 4) for name in ("stem", "layer4", "fc")}
    parts["layer4"] = torch.nn.Sequential(parts["layer4"])
    model = torch.nn.Sequential(OrderedDict(parts))
    train(model, torch.randn(8, 4), run(snippets("trackers.md")["choice"])["tracker"], steps=2)
    tags = read(str(folder / "logs")).Reload().Tags()
    names = [re.split(r"[./]", tag.removeprefix("net."), maxsplit=2) for tag in tags["scalars"]]
    statistics = {signal: {s for of, s, _ in names if of == signal} for signal, _, _ in names}
    assert {layer for _, _, layer in names} == {"layer4.0", "fc"} | {
        f"{layer}.{tensor}" for layer in ("layer4.0", "fc") for tensor in ("weight", "bias")
    }
    assert statistics["activation"] == {"mean", "average_channel_squared_mean", "zero_fraction"}
    assert statistics["gradient"] == {"zero_fraction"}
    assert statistics["weight"] > {"mean", "second_moment", "zero_fraction"}
    assert tags["images"] == []
