"""What the zoo found: a line for each network, a table, a paragraph, and found against expected."""

import csv
import datetime
import importlib.metadata
import platform
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import sppkit
from tests.zoo.comparison import LEAST_COVERAGE, Outcome
from tests.zoo.expectations import EXPECTATIONS, Expectation


def line(outcome: Outcome) -> str:
    """Say in a line what was found of a network."""
    name = f"{outcome.library}:{outcome.architecture}"
    if outcome.status != "compared":
        return f"{'skip' if outcome.is_good else 'FAIL'} {name}: {outcome.remark}"
    said = [
        "identical" if outcome.bit_identical else f"DIFFERS ({outcome.remark})",
        f"{outcome.observed}/{outcome.leaves} leaves",
        f"{outcome.merges} merges, {outcome.blocks} blocks, {outcome.branches} branches",
        f"{outcome.plain_seconds:.1f} s plain, {outcome.recorded_seconds:.1f} s recorded",
    ]
    said += [f"{outcome.hooks_left} HOOKS LEFT"] * bool(outcome.hooks_left)
    said += [f"FAULTS: {outcome.faults}"] * bool(outcome.faults)
    said += [f"unobserved: {outcome.unobserved[:300]}"] * bool(outcome.unobserved)
    return f"{'ok  ' if outcome.is_good else 'FAIL'} {name}: {'; '.join(said)}"


def write_table(outcomes: Sequence[Outcome], path: Path) -> None:
    """Write one row per network."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, [*asdict(outcomes[0]), "coverage"])
        writer.writeheader()
        for outcome in outcomes:
            row = {**asdict(outcome), "coverage": outcome.coverage}
            writer.writerow({k: f"{v:.3f}" if isinstance(v, float) else v for k, v in row.items()})


def summary(outcomes: Sequence[Outcome]) -> str:
    """Say in a paragraph what was found, when, and with which versions."""
    compared = [outcome for outcome in outcomes if outcome.status == "compared"]
    skipped = sum(outcome.status == "skipped" for outcome in outcomes)
    coverages = sorted(outcome.coverage for outcome in compared) or [float("nan")]
    ends = sum(outcome.ends for outcome in compared)
    module_ends = sum(outcome.module_ends for outcome in compared)
    plain = sum(outcome.plain_seconds for outcome in compared)
    recorded = sum(outcome.recorded_seconds for outcome in compared)
    return " ".join(
        [
            f"{datetime.date.today().isoformat()}, {versions()}:",
            f"{len(outcomes)} networks, {len(compared)} compared, {skipped} skipped,",
            f"{len(outcomes) - len(compared) - skipped} failed.",
            f"{sum(o.bit_identical for o in compared)} of {len(compared)} are bit-identical when",
            f"recorded, {sum(bool(o.hooks_left) for o in compared)} keep a hook.",
            f"{sum(o.leaves == o.observed for o in compared)} observe every leaf they call,",
            f"{sum(c >= LEAST_COVERAGE for c in coverages)} at least {LEAST_COVERAGE:.0%};",
            f"the least is {coverages[0]:.1%}.",
            f"{sum(o.merges for o in compared)} merges; {module_ends / max(ends, 1):.1%} of their",
            f"{ends} branch ends are the output of a module.",
            f"{plain:.0f} s plain, {recorded:.0f} s recorded with every signal, at every step.",
        ]
    )


def versions() -> str:
    """Name the versions of everything that took part."""
    parts = [f"sppkit {sppkit.__version__}", f"Python {platform.python_version()}"]
    for library in ("torch", "timm", "torchvision", "transformers"):
        try:
            parts.append(f"{library} {importlib.metadata.version(library)}")
        except importlib.metadata.PackageNotFoundError:
            parts.append(f"{library} not installed")
    return ", ".join(parts)


def write_expectations(outcomes: Sequence[Outcome], path: Path) -> None:
    """Write what was found against what was expected, as a document."""
    by_name = {(o.library, o.architecture): o for o in outcomes if o.status == "compared"}
    rows = [
        _expectation_row(by_name[name], expected)
        for name, expected in EXPECTATIONS.items()
        if name in by_name
    ]
    path.write_text(_DOCUMENT.format(summary=summary(outcomes), rows="\n".join(rows)))


def _expectation_row(outcome: Outcome, expected: Expectation) -> str:
    wanted = [expected.merges, expected.blocks, expected.branches]
    found = [outcome.drawn, outcome.blocks, outcome.branches]
    pairs = [f"{f} of {'any' if w is None else w}" for w, f in zip(wanted, found, strict=True)]
    cells = [f"{outcome.library}:{outcome.architecture}", *pairs, str(outcome.merges)]
    cells += [str(outcome.concatenations), "yes" if expected.is_met(outcome) else "**no**"]
    return f"| {' | '.join([*cells, expected.why])} |"


_DOCUMENT = """# Other people's networks

Written by `python -m tests.zoo --output docs/zoo.csv --expectations docs/zoo.md`. Every network is
built twice from one seed with random weights, trained for two steps on a batch of two, once plain
and once recorded, and compared to the bit: outputs, gradients, parameters, buffers, modes and
random generators. One row per network is in [zoo.csv](zoo.csv).

{summary}

| network | merges drawn | blocks | residual branches | merges at all levels | concatenations | \
as expected | because |
|---|---|---|---|---|---|---|---|
{rows}
"""
