"""`python -m tests.zoo`: is recording without a trace, and does it see, in other people's networks?

Exits with 1 if a network is not bit-identical, keeps a hook, fails, or is observed by less than
95 % of the leaves that it calls.
"""

import argparse
import fnmatch
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.zoo.comparison import Outcome
from tests.zoo.networks import every_name, zoo
from tests.zoo.report import line, summary, write_expectations, write_table
from tests.zoo.worker import Name, compare_all

_LIBRARIES = ("timm", "torchvision", "transformers")


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare the chosen networks, print a line for each, and write the table."""
    options = _parser().parse_args(arguments)
    libraries = _LIBRARIES if options.library == "all" else (options.library,)
    names = [name for library in libraries for name in _chosen(library, options.match)]
    outcomes: list[Outcome] = []
    for outcome in compare_all(names[: options.limit], options.seconds):
        outcomes.append(outcome)
        print(line(outcome), flush=True)
        if options.output:  # every time, so that an interrupted run is not lost
            write_table(outcomes, options.output)
    if options.expectations:
        write_expectations(outcomes, options.expectations)
    print(summary(outcomes))
    return 0 if outcomes and all(outcome.is_good for outcome in outcomes) else 1


def _chosen(library: str, pattern: str | None) -> list[Name]:
    """Name one network of each family, or all of the library that a pattern matches."""
    found = zoo(library) if pattern is None else fnmatch.filter(every_name(library), pattern)
    return [(library, name) for name in found]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.zoo", description=__doc__)
    parser.add_argument("--library", choices=(*_LIBRARIES, "all"), default="all")
    parser.add_argument("--match", metavar="GLOB", help="of all names, not of the chosen ones")
    parser.add_argument("--limit", type=int, metavar="N", help="the first N only")
    parser.add_argument("--seconds", type=float, default=60.0, help="limit for each network")
    parser.add_argument("--output", type=Path, metavar="CSV", help="write the table")
    parser.add_argument("--expectations", type=Path, metavar="MD", help="write found vs expected")
    return parser


if __name__ == "__main__":
    sys.exit(main())
