"""A small task that trains in a second, with everything that a resumed run could forget."""

import dataclasses

import pytest
import torch
from torch import nn

from sppkit.training.data import Wishes, find_data
from sppkit.training.recipes import Clipping, Recipe
from sppkit.training.run_folder import RunFolder
from sppkit.training.task import Task


class SmallNet(nn.Sequential):
    """With batch normalisation (buffers) and dropout (random numbers)."""

    def __init__(self, classes=10):
        super().__init__(
            nn.Flatten(),
            nn.Linear(64, 32),
            nn.BatchNorm1d(32),
            nn.ReLU(),
            nn.Dropout(0.2),
            nn.Linear(32, classes),
        )


RECIPE = Recipe(
    name="small",
    reference="",
    paper="",
    dataset="",
    batch_size=64,
    epochs=2,
    learning_rate=0.05,
    nesterov=True,
    weight_decay=1e-4,
    warmup_epochs=0.5,
    averaging_decay=0.9,
    clipping=Clipping(method="adaptive", limit=0.02),
)


@pytest.fixture(scope="session")
def digits():
    return find_data("digits", Wishes(size=(1, 8, 8), augmentation="crop-flip"))


@pytest.fixture(scope="session")
def plain_digits():
    """Without the crops, which move a picture of 8x8 by half its width: for a net that learns."""
    return find_data("digits", Wishes(size=(1, 8, 8)))


@pytest.fixture
def make_task(digits):
    """Make the small task, with some things changed; recipe=dict(...) changes the recipe."""

    def make(recipe=None, **changes):
        chosen = dataclasses.replace(RECIPE, **(recipe or {}))
        given = {"run": "small", "build": SmallNet, "origin": "SmallNet", "data": digits}
        return Task(**{**given, "recipe": chosen, "every": 4, **changes})

    return make


@pytest.fixture
def folder(tmp_path):
    return RunFolder(tmp_path / "runs" / "small")


class RunStoppedError(Exception):
    """What stops a run in the tests."""


def stopping(task, step):
    """Stop a run before it takes a given step, by failing data; on all ranks."""
    batches = task.data.train

    class Failing(type(batches)):
        def __init__(self):
            vars(self).update(vars(batches))

        def epoch(self, seed, epoch, batch_size, *, first=0):
            taken = epoch * self.steps(batch_size) + first
            for batch in super().epoch(seed, epoch, batch_size, first=first):
                if taken == step:
                    raise RunStoppedError
                yield batch
                taken += 1

    return dataclasses.replace(task, data=dataclasses.replace(task.data, train=Failing()))


@pytest.fixture
def interrupt():
    return stopping


def weights(folder):
    return torch.load(folder.path / "checkpoint.pt", weights_only=True)["model"]
