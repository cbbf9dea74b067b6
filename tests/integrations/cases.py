"""A small network, its data, and the plain loop that a trainer's recording is compared with."""

import warnings

import numpy as np
import torch
from torch import nn
from torch.utils.data import TensorDataset

import sppkit
from sppkit.cli import app
from sppkit.table import KEY

SAMPLES, FEATURES, CLASSES = 16, 6, 3
RATE = 0.5


def network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Linear(FEATURES, 12), nn.ReLU(), nn.Linear(12, 12), nn.ReLU(), nn.Linear(12, CLASSES)
    )


def samples():
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(SAMPLES, FEATURES, generator=generator)
    return x, torch.randint(0, CLASSES, (SAMPLES,), generator=generator)


def data():
    return TensorDataset(*samples())


def plain_table(steps, batches=1, clip=None):
    """Record a loop that takes all samples in each step, in so many passes."""
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE)
    x, y = samples()
    with sppkit.record(model, optimizer=optimizer) as recording:
        for _ in range(steps):
            optimizer.zero_grad()
            for part, labels in zip(x.chunk(batches), y.chunk(batches), strict=True):
                (nn.functional.cross_entropy(model(part), labels) / batches).backward()
            if clip:
                nn.utils.clip_grad_norm_(model.parameters(), clip)
            optimizer.step()
    return recording.table()


def assert_same_rows(table, expected, statistics=("second_moment", "mean"), rtol=1e-4):
    """Compare row by row, by what the rows are of; layers by their names in the network."""
    found, wanted = by_key(table), by_key(expected)
    assert set(found.index) == set(wanted.index)
    found = found.reindex(wanted.index)
    for statistic in statistics:
        np.testing.assert_allclose(
            found[statistic], wanted[statistic], rtol=rtol, atol=1e-7, err_msg=statistic
        )


def by_key(table):
    key = [name for name in KEY if name not in ("run", "rank")]
    table = table.astype({name: str for name in key if table[name].dtype == "category"})
    return table.assign(layer=table["layer"].map(short)).set_index(key)


def short(layer):
    return layer.removeprefix("network").lstrip(".")


def hooks_on(model):
    """Count what listens to a model."""
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return sum(len(getattr(module, kind)) for module in model.modules() for kind in kinds)


def drawn(run_directory, folder):
    """Draw a run directory as a user does; give the size of the picture."""
    from typer.testing import CliRunner

    picture = folder / "drawn.png"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = CliRunner().invoke(app, ["plot", str(run_directory), "-o", str(picture)])
    assert result.exit_code == 0, result.output
    return picture.stat().st_size
