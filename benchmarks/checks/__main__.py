"""Time `sppkit check` as it is typed: a process for each network, imports and building included.

python -m benchmarks.checks            # about three minutes on an idle machine; writes results.md
"""

import resource
import subprocess
import sys
import time
from pathlib import Path

import torch

from benchmarks.machine import describe_machine

RESULTS = Path(__file__).parent / "results.md"

SICK = Path(__file__).parent / "sick.py"

BARS = {"CIFAR": 10, "ResNet-50": 60}
"""Seconds on two cores that a check of this size may take."""

CASES = {
    "CIFAR": (
        ("ref:bn_resnet20",),
        ("ref:nf_resnet26_cifar",),
        ("ref:fixup_resnet20",),
        ("ref:efficientnet_b0_bn",),
        ("ref:efficientnet_b0_none",),
        ("ref:efficientnet_b0_ws",),
        ("ref:efficientnet_small_none",),
        ("ref:reactnet18_digits",),
        (f"{SICK}:deep_transformer", "-s", "16,64"),
        (f"{SICK}:plain_convolutions", "-s", "3,32,32"),
    ),
    "ResNet-50": (
        ("ref:bn_resnet50",),
        ("ref:nf_resnet50",),
        ("ref:resnet50", "-s", "3,224,224"),
    ),
}


def main() -> None:
    """Time every case, and write the table."""
    lines = [f"{key}: {value}" for key, value in describe_machine(torch.get_num_threads()).items()]
    rows = [_row(size, case) for size, cases in CASES.items() for case in cases]
    head = ["| size | command | verdict | seconds | bar | processor seconds |", "|---" * 6 + "|"]
    RESULTS.write_text("\n".join([_TITLE, *(f"- {line}" for line in lines), "", *head, *rows, ""]))
    print(RESULTS.read_text())


_TITLE = """# What a check costs

Made by `python -m benchmarks.checks`: wall time of the whole command, and processor time of it.
"""


def _row(size: str, arguments: tuple[str, ...]) -> str:
    command = [sys.executable, "-m", "sppkit", "check", *arguments, "--output-format", "concise"]
    used, began = _processor_seconds(), time.perf_counter()
    code = subprocess.run(command, capture_output=True, check=False).returncode
    seconds = time.perf_counter() - began
    shown = " ".join(Path(part).name if "/" in part else part for part in arguments)
    verdict = {0: "pass", 1: "fail"}.get(code, f"exit code {code}")
    row = f"| {size} | `sppkit check {shown}` | {verdict} | {seconds:.1f} | {BARS[size]} | "
    row += f"{_processor_seconds() - used:.1f} |"
    print(row, flush=True)
    return row


def _processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
