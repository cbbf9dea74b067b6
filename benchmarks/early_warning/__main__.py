"""Train what has not been trained, then report leads and false alarms.

python -m benchmarks.early_warning                    all of it
python -m benchmarks.early_warning --seconds 150      train for so long at most, and go on later
python -m benchmarks.early_warning --report           report what has been trained
"""

import argparse

import torch

from benchmarks.early_warning.catalogue import EVERY, cases
from benchmarks.early_warning.recordings import is_recorded, record_all
from benchmarks.early_warning.report import write_report, write_tables
from benchmarks.early_warning.score import score

CADENCES = (2 * EVERY, EVERY)
"""Recorded steps that are looked at: one in so many; the first is the default of `sppkit train`."""


def report() -> None:
    """Replay every recording at both cadences, and write the results."""
    recorded = [case for case in cases() if is_recorded(case)]
    scores = {every: [score(case, every=every) for case in recorded] for every in CADENCES}
    for every, found in scores.items():
        write_tables(found, every)
    print(write_report(scores))


def main() -> None:
    """Run the benchmark, or a part of it."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.early_warning",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seconds", type=float, default=float("inf"), help="of training at most")
    parser.add_argument("--match", default="", help="only trainings with this in their name")
    parser.add_argument("--report", action="store_true", help="train nothing")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if not arguments.report:
        chosen = [case for case in cases() if arguments.match in case.name]
        left = record_all(chosen, arguments.seconds)
        print(f"{left} of {len(chosen)} trainings are left")
        if left:
            return
    report()


if __name__ == "__main__":
    main()
