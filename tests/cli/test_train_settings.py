"""[tool.sppkit.train]: which keys of a file reach a training, and which are for probes only."""

import json
from textwrap import dedent

import numpy as np
import pytest
from typer.testing import CliRunner

from sppkit.cli import app

NET = """
    from torch import nn

    class Net(nn.Sequential):
        INPUT_SIZE = (64,)

        def __init__(self):
            super().__init__(nn.Linear(64, 10))
"""


@pytest.fixture
def project(folder, write):
    """Write a network and a pyproject.toml."""
    write(NET, "net.py")

    def write_settings(text, name="pyproject.toml"):
        (folder / name).write_text(dedent(text))

    return write_settings


@pytest.fixture
def trained(spp, folder):
    """Train by the settings of the file alone; give the runs by name with their settings."""

    def train(*flags):
        spp("train", "net.py", *flags)
        places = sorted((folder / "runs").glob("*/run.json"))
        return {place.parent.name: json.loads(place.read_text())["settings"] for place in places}

    return train


def test_the_table_of_training_gives_values_to_its_flags(project, trained):
    project(
        """
        [tool.sppkit.train]
        epochs = 1
        lr = [0.1, 0.01]
        batch-size = 64
        optimizer = "sgd"
        seeds = 2
        every = 0
        clip = ["norm:1"]
        """
    )
    runs = trained()
    assert sorted(runs) == [f"Net-lr={lr}-seed{seed}" for lr in ("0.01", "0.1") for seed in (0, 1)]
    settings = runs["Net-lr=0.1-seed1"]
    assert settings["batch_size"] == 64
    assert settings["every"] == 0
    assert settings["recipe"]["optimizer"] == "sgd"
    assert settings["recipe"]["epochs"] == 1


def test_what_is_typed_comes_before_the_file(project, trained):
    project("[tool.sppkit.train]\nepochs = 3\nevery = 0\nbatch-size = 64\n")
    (settings,) = trained("--epochs", 1).values()
    assert settings["recipe"]["epochs"] == 1


def test_settings_of_probes_are_not_those_of_training(project, trained):
    project(
        """
        [tool.sppkit]
        seeds = 5
        batch-size = 2
        input = "pink"
        quiet = true
        [tool.sppkit.train]
        epochs = 1
        every = 0
        """
    )
    runs = trained()
    assert list(runs) == ["Net"]
    assert runs["Net"]["batch_size"] == 8  # of the default recipe


def test_seeds_of_training_are_not_those_of_probes(project, spp):
    project("[tool.sppkit.train]\nseeds = 4\n")
    assert "seeds" in spp("check", "--show-settings").stdout
    assert "seeds            = 4" not in spp("check", "--show-settings").stdout


def test_data_is_found_beside_the_file(project, trained, folder, monkeypatch):
    rng = np.random.default_rng(0)
    np.savez(folder / "own.npz", x=rng.normal(size=(64, 64)), y=np.arange(64) % 10)
    project("[tool.sppkit.train]\ndata = 'own.npz'\nepochs = 1\nevery = 0\n")
    inner = folder / "inner"
    inner.mkdir()
    (folder / "net.py").rename(inner / "net.py")
    monkeypatch.chdir(inner)
    result = CliRunner().invoke(app, ["train", "net.py"])
    assert result.exit_code == 0, result.output
    said = json.loads((inner / "runs" / "Net" / "run.json").read_text())
    assert said["settings"]["data_source"].endswith("own.npz")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[tool.sppkit.train]\nlearning-rate = 0.1", "has the key 'learning-rate', which is no"),
        ("[tool.sppkit.train]\nlr = true", "lr = True; expected a list"),
        ("[tool.sppkit.train]\nlr = ['fast']", "lr = ['fast']: Input should be a valid number"),
        (
            "[tool.sppkit.train]\nepochs = 0",
            "epochs = 0: Input should be greater than or equal to 1",
        ),
        ("[tool.sppkit.train]\nstop-on = 'never ever'", "'never', 'error', 'warning'"),
        ("[tool.sppkit]\nepochs = 3", "has the key 'epochs', which belongs into"),
    ],
)
def test_what_is_wrong_in_the_table_is_said(project, fails, text, message):
    project(text)
    assert message in fails("train", "net.py")


def test_a_mistake_in_the_table_of_training_is_told_by_every_command(project, fails):
    project("[tool.sppkit.train]\nlearning-rate = 0.1")
    assert "pyproject.toml, [tool.sppkit.train]" in fails("check", "net.py")
