"""Commands of the verdict benchmark: `python -m benchmarks.verdict label`."""

import argparse

import torch

from benchmarks.verdict.catalogue import NETWORKS
from benchmarks.verdict.labels import train_all
from benchmarks.verdict.network import Network


def in_turns(stride: int = 11) -> list[Network]:
    """Order the networks so that all families are under way early."""
    return [network for start in range(stride) for network in NETWORKS[start::stride]]


def main() -> None:
    """Run a command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.verdict", description=__doc__)
    parser.add_argument("command", choices=["label"])
    parser.add_argument("--part", type=int, default=0, help="which part of the networks")
    parser.add_argument("--parts", type=int, default=1, help="number of parts, one per process")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    train_all(in_turns()[arguments.part :: arguments.parts])


if __name__ == "__main__":
    main()
