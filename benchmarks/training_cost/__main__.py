"""Train with and without recording, in turns, and compare the times pair by pair.

python -m benchmarks.training_cost     # about ten minutes; writes results.md

A turn is one epoch of digits by the loop of `sppkit train`, with its default recipe: evaluation,
early warning, checkpoint and files are part of it. Time is processor time of the whole process, and
wall time; the first pair of each network is left out.
"""

import argparse
import dataclasses
import functools
import shutil
import statistics
import tempfile
import time
from pathlib import Path

import torch

from benchmarks.machine import describe_machine
from sppkit.models import build, find_reference
from sppkit.training.choices import DEFAULT
from sppkit.training.data import Wishes, find_data
from sppkit.training.loop import train
from sppkit.training.run_folder import RunFolder
from sppkit.training.task import Task

RESULTS = Path(__file__).parent / "results.md"

NETWORKS = ("bn_resnet20", "nf_resnet20", "sn_resnet20")

EVERY = 10

BAR = 1.05

HEAD = """# What recording adds to a training

Made by `python -m benchmarks.training_cost`: one step in ten recorded, against none; medians of
pairs, with the least and the largest. The bar is {bar}.
"""


def main() -> None:
    """Measure the networks, and write the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training_cost", description=__doc__)
    parser.add_argument("--pairs", type=int, default=5, help="of each network")
    pairs = parser.parse_args().pairs
    facts = describe_machine(torch.get_num_threads())
    lines = [HEAD.format(bar=BAR), *(f"- {key}: {value}" for key, value in facts.items()), ""]
    lines += ["| network | processor time | wall time |", "|---|---|---|"]
    for name in NETWORKS:
        lines.append(_row(name, pairs))
        print(lines[-1], flush=True)
    RESULTS.write_text("\n".join(lines) + "\n")


def _row(name: str, pairs: int) -> str:
    task = _task(name)
    ratios = []
    for number in range(pairs + 1):
        order = (0, EVERY) if number % 2 else (EVERY, 0)
        times = {every: _times(dataclasses.replace(task, every=every)) for every in order}
        ratios.append([r / p for r, p in zip(times[EVERY], times[0], strict=True)])
    columns = zip(*ratios[1:], strict=True)
    shown = [f"{statistics.median(c):.3f} ({min(c):.3f} to {max(c):.3f})" for c in columns]
    return f"| {name} | {' | '.join(shown)} |"


def _task(name: str) -> Task:
    size = find_reference(name).input_size
    return Task(
        run=name,
        build=functools.partial(build, name, classes=10),
        origin=f"ref:{name}",
        data=find_data("digits", Wishes(size=size)),
        recipe=dataclasses.replace(DEFAULT, epochs=1),
    )


def _times(task: Task) -> tuple[float, float]:
    """Train for an epoch; give processor and wall seconds."""
    folder = Path(tempfile.mkdtemp()) / "run"
    used, began = time.process_time(), time.perf_counter()
    train(task, RunFolder(folder))
    spent = time.process_time() - used, time.perf_counter() - began
    shutil.rmtree(folder.parent)
    return spent


if __name__ == "__main__":
    main()
