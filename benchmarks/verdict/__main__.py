"""Commands of the verdict benchmark, in the order of use.

python -m benchmarks.verdict label     train every network that has not been trained
python -m benchmarks.verdict record    record the evidence of every network
python -m benchmarks.verdict judge     ask rules and earlier detectors about the recordings
python -m benchmarks.verdict report    fit the weighing, and report it by halves
python -m benchmarks.verdict zoo       check architectures of torchvision and timm (extra `zoo`)
"""

import argparse
import datetime
import json

import pandas as pd
import torch

from benchmarks.verdict.catalogue import NETWORKS
from benchmarks.verdict.evidence import INPUTS, judge_all, record_all
from benchmarks.verdict.in_use import IN_USE
from benchmarks.verdict.labels import RESULTS, labels, train_all
from benchmarks.verdict.network import Network
from benchmarks.verdict.report import Known, after_rehearsal, fitted, missed_bars, write_report
from sppkit.rules.weighing import COEFFICIENTS

LABELS, EVIDENCE, STATISTICS = (
    RESULTS / name for name in ("labels.csv", "evidence.csv", "statistics.csv")
)

TEXTS = ("errors", "errors_unrehearsed", "warnings", "injected_layer", "first_offender", "suspect")
"""Columns of the evidence in which nothing means none."""


def in_turns(stride: int = 11) -> list[Network]:
    """Order the networks so that all families are under way early."""
    return [network for start in range(stride) for network in NETWORKS[start::stride]]


def judge() -> None:
    """Write down what the recordings say."""
    said, statistics = judge_all(NETWORKS)
    said.to_csv(EVIDENCE, index=False)
    statistics.to_csv(STATISTICS, index=False, float_format="%.4g")


def report() -> list[str]:
    """Report each half by the fit on the other; then fit to all, and write the coefficients.

    Returns:
        The bars that are missed.
    """
    known_labels = labels(NETWORKS)
    known_labels.to_csv(LABELS, index=False)
    said = pd.read_csv(EVIDENCE).fillna(dict.fromkeys(TEXTS, ""))
    known = Known.join(known_labels, said, pd.read_csv(STATISTICS))
    if IN_USE.exists():
        known = known.with_in_use(pd.read_csv(IN_USE))
    text = write_report(known)
    (RESULTS / "report.md").write_text(text)
    print(text)
    write_coefficients(known)
    return missed_bars(known)


def write_coefficients(known: Known) -> None:
    """Fit to all networks, and write what `sppkit.rules` reads."""
    networks = known.only(known.clear).rows.drop_duplicates("hash")
    in_use = int(networks["accuracy"].isna().sum())
    trained = int(networks["trains"].sum()) - in_use
    content = {
        "fitted_on": f"{len(networks) - in_use} small networks, {trained} of which train, and "
        f"{in_use} architectures in use; benchmarks/verdict, "
        f"{datetime.datetime.now(datetime.UTC).date().isoformat()}",
        **fitted(known).as_dict(),
        **after_rehearsal(known),
        "unrehearsed": fitted(known.unrehearsed()).as_dict(),
    }
    COEFFICIENTS.write_text(json.dumps(content, indent=1) + "\n")


def check_zoo(part: int, parts: int) -> None:
    """Check architectures in use; the libraries are imported only here."""
    from benchmarks.verdict.zoo import check_all, summary

    print(summary(check_all(part, parts)))


def main() -> None:
    """Run a command."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.verdict",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", choices=["label", "record", "judge", "report", "zoo"])
    parser.add_argument("--part", type=int, default=0, help="which part of the networks")
    parser.add_argument("--parts", type=int, default=1, help="number of parts, one per process")
    parser.add_argument("--input", choices=INPUTS, help="the only input to record")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    mine = in_turns()[arguments.part :: arguments.parts]
    if arguments.command == "label":
        train_all(mine)
    elif arguments.command == "record":
        record_all(mine, [arguments.input] if arguments.input else INPUTS)
    elif arguments.command == "judge":
        judge()
    elif arguments.command == "zoo":
        check_zoo(arguments.part, arguments.parts)
    elif missed := report():
        raise SystemExit(f"missed: {'; '.join(missed)}")


if __name__ == "__main__":
    main()
