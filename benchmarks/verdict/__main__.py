"""Commands of the verdict benchmark, in the order of use.

python -m benchmarks.verdict label     train every network that has not been trained
python -m benchmarks.verdict record    record the evidence of every network
python -m benchmarks.verdict report    judge the evidence, fit the weighing, write the report
"""

import argparse
import datetime
import json

import pandas as pd
import torch

from benchmarks.verdict.catalogue import NETWORKS
from benchmarks.verdict.evidence import read_all, record_all
from benchmarks.verdict.labels import RESULTS, labels, train_all
from benchmarks.verdict.network import Network
from benchmarks.verdict.report import Known, fitted, write_report
from sppkit.rules.weighing import COEFFICIENTS


def in_turns(stride: int = 11) -> list[Network]:
    """Order the networks so that all families are under way early."""
    return [network for start in range(stride) for network in NETWORKS[start::stride]]


def report() -> None:
    """Judge the evidence, report each half by the fit on the other, and fit to all."""
    known_labels = labels(NETWORKS)
    known_labels.to_csv(RESULTS / "labels.csv", index=False)
    _write_coefficients(_known(known_labels))
    known = _known(known_labels)  # judged anew, by the coefficients just written
    known.rows.to_csv(RESULTS / "evidence.csv", index=False, float_format="%.4g")
    text = write_report(known)
    (RESULTS / "report.md").write_text(text)
    print(text)


def _known(known_labels: pd.DataFrame) -> Known:
    said, statistics = read_all(NETWORKS)
    return Known.join(known_labels, said, statistics)


def _write_coefficients(known: Known) -> None:
    networks = known.rows.drop_duplicates("hash")
    content = {
        "fitted_on": f"{len(networks)} networks of {networks['family'].nunique()} families, "
        f"{int(networks['trains'].sum())} of which train; benchmarks/verdict, "
        f"{datetime.datetime.now(datetime.UTC).date().isoformat()}",
        **fitted(known).as_dict(),
    }
    COEFFICIENTS.write_text(json.dumps(content, indent=1) + "\n")


def main() -> None:
    """Run a command."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.verdict",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", choices=["label", "record", "report"])
    parser.add_argument("--part", type=int, default=0, help="which part of the networks")
    parser.add_argument("--parts", type=int, default=1, help="number of parts, one per process")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    mine = in_turns()[arguments.part :: arguments.parts]
    if arguments.command == "label":
        train_all(mine)
    elif arguments.command == "record":
        record_all(mine)
    else:
        report()


if __name__ == "__main__":
    main()
