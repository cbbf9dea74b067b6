"""The snippets of docs/trainers.md and docs/trackers.md run as they stand."""

import re
import warnings
from pathlib import Path

import pytest
import torch

import sppkit
from tests.integrations import library

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
        exec(compile(source, "snippet", "exec"), {"__name__": "snippet"})


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


def test_the_snippet_that_chooses_scalars_is_valid(folder):
    library("tensorboard")
    run(snippets("trackers.md")["choice"])
