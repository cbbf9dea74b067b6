"""Commands of the verdict benchmark: `python -m benchmarks.verdict label`."""

import argparse

import torch

from benchmarks.verdict.catalogue import NETWORKS
from benchmarks.verdict.labels import train_all


def main() -> None:
    """Run a command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.verdict", description=__doc__)
    parser.add_argument("command", choices=["label"])
    parser.parse_args()
    torch.set_num_threads(1)
    # Every eleventh, then the next eleventh: all families are under way early
    train_all([network for start in range(11) for network in NETWORKS[start::11]])


if __name__ == "__main__":
    main()
