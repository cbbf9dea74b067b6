"""What a command is about: the targets that were typed, or the models of the configuration."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

import typer

from sppkit.cli.check_flags import MeasuringEvidence
from sppkit.cli.configuration import Configuration, ConfiguredModel
from sppkit.cli.configuration.origins import is_typed
from sppkit.errors import ConfigurationError


@dataclass(frozen=True)
class Subject:
    """One thing to measure or to judge.

    Attributes:
        name: as it was typed, or as it is configured.
        target: a model or a recording.
        measuring: how it is measured.
        baseline: its golden recording, if there is one.
    """

    name: str
    target: str
    measuring: MeasuringEvidence
    baseline: Path | None


def find_subjects(
    texts: Sequence[str] | None,
    measuring: MeasuringEvidence,
    baseline: Path | None,
    context: typer.Context,
) -> list[Subject]:
    """Find what is meant by the texts of a command line; by none, all configured models.

    A text that is the name of a configured model means that one, with its settings; flags that are
    typed, and variables of the environment, come before them.

    Raises:
        ConfigurationError: nothing was typed and nothing is configured, or one baseline was given
            for several.
    """
    configuration: Configuration = context.obj
    models = {model.name: model for model in configuration.models}
    if not texts and not models:
        where = ", ".join(configuration.files)
        raise ConfigurationError(
            "no target was given, and no [[tool.sppkit.model]] is configured "
            f"({f'in {where}' if where else 'there is no sppkit.toml or pyproject.toml'}). Name a "
            "model: sppkit check model.py."
        )
    subjects = [
        _configured(models[text], measuring, baseline, context)
        if text in models
        else Subject(text, text, measuring, baseline)
        for text in texts or models
    ]
    if baseline is not None and len(subjects) > 1:
        raise ConfigurationError(
            f"--baseline {baseline} is one recording, and there are {len(subjects)} targets. Check "
            "them one by one, or configure a baseline for each [[tool.sppkit.model]]."
        )
    return subjects


def _configured(
    model: ConfiguredModel,
    measuring: MeasuringEvidence,
    baseline: Path | None,
    context: typer.Context,
) -> Subject:
    wanted = {name: v for name, v in model.flags.items() if not is_typed(context, name)}
    return Subject(
        model.name,
        model.target,
        replace(measuring, **_as_fields(measuring, wanted)),
        baseline if baseline is not None else model.baseline,
    )


def _as_fields(measuring: MeasuringEvidence, values: Mapping[str, Any]) -> dict[str, Any]:
    """Make closed sets of words what the fields hold."""
    kinds = {field.name: type(getattr(measuring, field.name)) for field in fields(measuring)}
    return {
        name: kinds[name](value) if issubclass(kinds[name], StrEnum) else value
        for name, value in values.items()
    }
