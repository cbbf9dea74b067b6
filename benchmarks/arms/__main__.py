"""Train every arm on every network, data set and seed: one table, and the signal propagation."""

import argparse
import itertools
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from benchmarks.arms.arm import ARMS, DATA, NETWORKS
from benchmarks.arms.grid import train

RESULTS = Path(__file__).parent / "results"


def main(arguments: list[str] | None = None) -> None:
    """Run the grid and write `cells.csv` and `propagation.csv`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.arms", description=__doc__)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--match", default="", help="only arms with this in their name")
    given = parser.parse_args(arguments)
    data = {name: make() for name, make in DATA.items()}
    arms = [arm for arm in ARMS if given.match in arm.name]
    cells, propagation = [], []
    for arm, network, name, seed in itertools.product(arms, NETWORKS, data, range(given.seeds)):
        cell, rows = train(arm, network, name, data[name], seed=seed, epochs=given.epochs)
        cells.append(asdict(cell))
        propagation.append(rows)
        print(*asdict(cell).values(), sep=" | ", flush=True)
    given.output.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(cells).round(4).to_csv(given.output / "cells.csv", index=False)
    table = pd.concat(propagation)
    statistics = [column for column in table.columns if column.startswith("average")]
    table[statistics] = table[statistics].map(lambda value: float(f"{value:.4g}"))
    table.to_csv(given.output / "propagation.csv", index=False)


if __name__ == "__main__":
    main()
