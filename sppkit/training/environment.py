"""Where and with what a run is trained, for its description."""

import platform
import subprocess
import sys
from typing import Any

import torch

from sppkit.version import __version__


def describe_environment(device: str) -> dict[str, Any]:
    """List versions, the device, and the revision of the folder that the command runs in."""
    return {
        "versions": {
            "sppkit": __version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
        "platform": platform.platform(),
        "device": device,
        "device_name": _device_name(device),
        "threads": torch.get_num_threads(),
        "command": sys.argv,
        "git": git_revision(),
    }


def _device_name(device: str) -> str:
    if torch.device(device).type == "cuda":
        return str(torch.cuda.get_device_name(device))
    return platform.processor() or platform.machine()


def git_revision() -> dict[str, object] | None:
    """Say which commit the current folder is at, and whether it was changed; None without git."""
    commit, changes = _git("rev-parse", "HEAD"), _git("status", "--porcelain")
    return None if commit is None else {"commit": commit, "is_changed": bool(changes)}


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *arguments], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
