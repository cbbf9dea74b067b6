"""What a measurement was made on."""

import datetime
import os
import platform
import subprocess
from pathlib import Path

import torch

import sppkit

ROOT = Path(__file__).parent.parent


def describe_machine(threads: int, device: str = "cpu") -> dict[str, str]:
    """Name the machine, its load, the versions and the revision."""
    facts = {
        "date": datetime.datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
        "processor": _processor(),
        "cores": f"{os.cpu_count()}, {threads} thread(s) used",
        "load average": ", ".join(f"{load:.2f}" for load in os.getloadavg()),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "Python": platform.python_version(),
        "torch": str(torch.__version__),
        "sppkit": f"{sppkit.__version__}, {_revision()}",
    }
    if device == "cuda":
        facts["GPU"] = f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}"
    return facts


def _processor() -> str:
    """Read the model's name where Linux keeps it; family and model tell generations apart."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    entries = dict(line.partition(":")[::2] for line in lines if ":" in line)
    named = {key.strip(): value.strip() for key, value in entries.items()}
    if "model name" not in named:
        return platform.processor() or platform.machine()
    number = f"family {named.get('cpu family', '?')}, model {named.get('model', '?')}"
    return f"{named['model name']} ({number})"


def _revision() -> str:
    """Name the commit of the clone, and whether files differ from it."""
    git = ["git", "-C", str(ROOT)]
    try:
        commit = subprocess.run(
            [*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True
        )
        changes = subprocess.run(
            [*git, "status", "--porcelain", "sppkit"], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return "revision unknown"
    return f"revision {commit.stdout.strip()}{' with changes' if changes.stdout else ''}"
