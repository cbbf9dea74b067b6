"""Recordings out, and other people's recordings in.

`write` exports a recording to CSV, JSON lines or parquet, and `long_form` gives it with one row per
number. `from_timm`, `from_depth_lists` and `from_training_log` make recordings of what other tools
have measured, so that old runs can be drawn, compared and checked; `in_convention` makes ours
comparable with theirs. None of it needs torch.
"""

from sppkit.exchange.conventions import CONVENTIONS, in_convention
from sppkit.exchange.depth_lists import from_depth_lists
from sppkit.exchange.export import FORMATS, is_export, long_form, write
from sppkit.exchange.timm_statistics import from_timm
from sppkit.exchange.training_log import from_training_log

__all__ = [
    "CONVENTIONS",
    "FORMATS",
    "from_depth_lists",
    "from_timm",
    "from_training_log",
    "in_convention",
    "is_export",
    "long_form",
    "write",
]
