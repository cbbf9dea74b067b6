"""Architectures in use, known to train as they come: the weighing must let them pass.

They are much deeper and larger than the networks that are trained here. Their statistics take part
in the fit, on the side of those that train; that they do is not measured here but known from their
papers. Needs the extra `zoo`: `python -m benchmarks.verdict.in_use`.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import torch
from torch import nn

import sppkit
from benchmarks.verdict.evidence import RECORDINGS
from benchmarks.verdict.labels import RESULTS
from benchmarks.verdict.zoo import builder
from sppkit.gate import record_evidence
from sppkit.models import REFERENCES
from sppkit.recording import Recording
from sppkit.rules.evidence import Evidence
from sppkit.rules.named import named_by_seed

IN_USE = RESULTS / "in_use.csv"

SEEDS = 2

LARGEST = 30_000_000
"""Parameters of the largest reference network that is looked at."""

# library: side of the pictures: names
CHOSEN: dict[str, dict[int, tuple[str, ...]]] = {
    "torchvision": {
        96: ("alexnet", "vgg11", "vgg11_bn", "googlenet", "squeezenet1_0"),
        64: (
            *("resnet18", "resnext50_32x4d", "densenet121", "mobilenet_v2", "mobilenet_v3_small"),
            *("shufflenet_v2_x0_5", "mnasnet0_5", "efficientnet_b0", "regnet_y_400mf"),
            *("convnext_tiny", "swin_t"),
        ),
    },
    "timm": {
        64: (
            *("convnext_atto", "convnextv2_atto", "resnet10t", "resnet14t", "resnet18d"),
            "resnet26",
        ),
    },
}


def in_use() -> Iterator[tuple[str, str, Callable[[], nn.Module], tuple[int, ...]]]:
    """List name, family, builder and size of a sample of each architecture."""
    for reference in REFERENCES:
        if reference.parameters > LARGEST or reference.dead_at_initialization:
            continue
        family = _family(reference.name.partition("_")[2] or reference.name)
        yield f"ref:{reference.name}", family, reference.factory(), reference.input_size
    for library, sizes in CHOSEN.items():
        for side, names in sizes.items():
            for name in names:
                build = builder(library, name)
                yield f"{library}:{name}", _family(name), build, (3, side, side)


def _family(name: str) -> str:
    """Give the part of a name before a digit or underscore: resnet50 and resnet_18 are resnets."""
    return re.split(r"[\d_]", name)[0]


def record_all(folder: Path = RECORDINGS) -> None:
    """Record the evidence of all that has not been recorded; those that fail are said."""
    for name, _, build, size in in_use():
        path = path_of(name, folder)
        if not path.exists():
            try:
                recording = record_evidence(build, input_size=size, seeds=SEEDS, batch_size=8)
            except sppkit.SppkitError as error:
                print(f"{name}: {error}")
            else:
                folder.mkdir(parents=True, exist_ok=True)
                recording.save(path)
                print(name, flush=True)


def path_of(name: str, folder: Path = RECORDINGS) -> Path:
    """Name the file of an architecture's recording."""
    return folder / f"in-use-{name.replace(':', '-')}.parquet"


def statistics(folder: Path = RECORDINGS) -> pd.DataFrame:
    """Read the named statistics of all recordings, a row per architecture and seed."""
    found = [
        _statistics(sppkit.read(path_of(name, folder)), name, family)
        for name, family, *_ in in_use()
        if path_of(name, folder).exists()
    ]
    return pd.concat(found, ignore_index=True)


def _statistics(recording: Recording, name: str, family: str) -> pd.DataFrame:
    by_seed = named_by_seed(Evidence.of(recording))
    return pd.DataFrame(by_seed).assign(network=name, family=f"in use: {family}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    record_all()
    statistics().to_csv(IN_USE, index=False, float_format="%.4g")
