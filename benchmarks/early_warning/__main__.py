"""Train what has not been trained, then report leads and false alarms.

python -m benchmarks.early_warning                    all of it
python -m benchmarks.early_warning --seconds 150      train for so long at most, and go on later
python -m benchmarks.early_warning --report           report what has been trained
"""

import argparse

import torch

from benchmarks.early_warning.catalogue import EVERY, cases
from benchmarks.early_warning.recordings import is_recorded, record_all
from benchmarks.early_warning.report import write_report, write_table
from benchmarks.early_warning.score import score


def report() -> None:
    """Replay every recording, and write the results."""
    scores = [score(case, every=2 * EVERY) for case in cases() if is_recorded(case)]
    write_table(scores)
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
