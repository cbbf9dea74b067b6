"""The flags of the plug-in, and what of them is in force."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

SUMMARIES = ("html", "json")


@dataclass(frozen=True)
class Options:
    """What a session asks of the plug-in.

    Attributes:
        update_baselines: whether baselines are written instead of compared with.
        results: folder for plots and summaries; None where none was named.
        summaries: formats of the summary at the end.
    """

    update_baselines: bool
    results: Path | None
    summaries: tuple[str, ...]


OPTIONS = pytest.StashKey[Options]()
MEASURED = pytest.StashKey[list[dict[str, Any]]]()
"""What the fixture measured in a test: plain data, which xdist can send."""


def add_options(parser: pytest.Parser) -> None:
    """Add the flags and their ini twins."""
    group = parser.getgroup("spp", "signal propagation (sppkit)")
    group.addoption(
        "--spp-update-baselines",
        action="store_true",
        default=None,
        help="Write the baselines that spp.check_baseline compares with.",
    )
    group.addoption(
        "--spp-results-path",
        metavar="DIR",
        help="Folder for the plots of failed assertions, and for summaries.",
    )
    group.addoption(
        "--spp-generate-summary",
        metavar="FORMATS",
        help="Write a summary of what the fixture spp measured: html, json, or html,json.",
    )
    parser.addini("spp_update_baselines", "As --spp-update-baselines.", type="bool", default=False)
    parser.addini("spp_results_path", "As --spp-results-path.", default="")
    parser.addini("spp_generate_summary", "As --spp-generate-summary.", default="")


def read_options(config: pytest.Config) -> Options:
    """Read the flags, or their ini twins where they were not given.

    Raises:
        pytest.UsageError: a summary of an unknown format.
    """
    folder = _given(config, "spp_results_path")
    return Options(
        update_baselines=bool(_given(config, "spp_update_baselines")),
        results=config.invocation_params.dir / folder if folder else None,
        summaries=_formats(_given(config, "spp_generate_summary")),
    )


def _given(config: pytest.Config, name: str) -> Any:
    typed = config.getoption(name)
    return config.getini(name) if typed is None else typed


def _formats(text: str) -> tuple[str, ...]:
    formats = tuple(part.strip() for part in text.split(",") if part.strip())
    unknown = [each for each in formats if each not in SUMMARIES]
    if unknown:
        raise pytest.UsageError(
            f"--spp-generate-summary {text!r}: {unknown[0]!r} is no format of a summary; expected "
            f"{', '.join(SUMMARIES)}, or both by a comma."
        )
    return formats
