"""Which networks `sppkit train` trains, and what an experiment of a paper brings besides."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sppkit.cli.training.flags import Augmentation, Feeding, Learning, Running
from sppkit.errors import TargetError
from sppkit.training.choices import change, find_preset
from sppkit.training.recipes import Recipe
from sppkit.training.reproduction import Form, Reproduction
from sppkit.training.reproductions import (
    REPRODUCTIONS,
    find_reproduction,
    nearest_reproduction,
)


@dataclass(frozen=True)
class Entry:
    """A network that takes part.

    Attributes:
        target: as it is typed.
        recipe: how it is trained, before flags change it.
        arguments: of its factory.
        name: of its runs; "" is that of the network.
    """

    target: str
    recipe: Recipe
    arguments: Mapping[str, object]
    name: str = ""


@dataclass(frozen=True)
class Request:
    """What is trained, and the flags with what a preset adds to them."""

    entries: tuple[Entry, ...]
    learning: Learning
    feeding: Feeding
    running: Running


def read_request(
    targets: Sequence[str],
    learning: Learning,
    feeding: Feeding,
    running: Running,
    given: Mapping[str, object],
) -> Request:
    """Find the networks and complete the flags.

    Args:
        targets: networks, as typed.
        learning, feeding, running: flags, as typed; they come before what a preset says.
        given: arguments of the networks, as typed.

    Raises:
        ValueError: there is no such preset, or --full-size has no meaning.
        TargetError: no network was named.
    """
    reproduction = asked_for(learning)
    if reproduction is None:
        preset = find_preset(learning.preset)
        return Request(tuple(_named(targets, preset, given)), learning, feeding, running)
    form = form_of(reproduction, learning)
    entries = (*_arms(form, given), *_guests(targets, form, given))
    return Request(entries, *_completed(form, learning, feeding, running))


def asked_for(learning: Learning) -> Reproduction | None:
    """Find the experiment that --preset names; None where it names a recipe, or nothing.

    Raises:
        ValueError: it names neither, or --full-size is given without an experiment.
    """
    if (found := find_reproduction(learning.preset)) is not None:
        return found
    if learning.full_size:
        names = ", ".join(each.name for each in REPRODUCTIONS)
        raise ValueError(
            f"--full-size is for the presets that repeat an experiment of a paper: {names}. "
            "Choose one with --preset."
        )
    if learning.preset is not None:
        _check_is_recipe(learning.preset)
    return None


def _check_is_recipe(name: str) -> None:
    try:
        find_preset(name)
    except ValueError as error:
        if (near := nearest_reproduction(name)) is None:
            raise
        raise ValueError(
            f"no preset is called {name!r} (did you mean {near!r}?); sppkit train --presets lists "
            "them."
        ) from error


def form_of(reproduction: Reproduction, learning: Learning) -> Form:
    """Choose the small form, or the full one."""
    return reproduction.full if learning.full_size else reproduction.small


# --------------------------------------------------------------------------------------- networks


def _named(targets: Sequence[str], preset: Recipe, given: Mapping[str, object]) -> list[Entry]:
    """Name networks; a recipe's arguments are those of its own, what is typed comes before them."""
    texts = list(targets) or _own_network(preset)
    own = f"ref:{preset.reference}"
    return [
        Entry(text, preset, {**(preset.model_arguments if text == own else {}), **given})
        for text in texts
    ]


def _own_network(preset: Recipe) -> list[str]:
    if preset.reference:
        return [f"ref:{preset.reference}"]
    raise TargetError(
        "no network was named. Name one or several, such as 'sppkit train ref:nf_resnet20 "
        "model.py:Net', or a preset that brings its own by --preset."
    )


def _arms(form: Form, given: Mapping[str, object]) -> list[Entry]:
    return [
        Entry(
            arm.target,
            change(form.recipe, **arm.changes),
            {**arm.arguments, **given},
            arm.name,
        )
        for arm in form.arms
    ]


def _guests(targets: Sequence[str], form: Form, given: Mapping[str, object]) -> list[Entry]:
    """Networks that are named beside an experiment are trained as it trains its own."""
    return [Entry(text, form.recipe, given) for text in targets]


# ------------------------------------------------------------------------------------------ flags


def _completed(
    form: Form, learning: Learning, feeding: Feeding, running: Running
) -> tuple[Learning, Feeding, Running]:
    """Add what an experiment says where nothing was typed."""
    learning = replace(
        learning,
        learning_rate=learning.learning_rate or list(form.learning_rates) or None,
        batch_size=learning.batch_size or list(form.batch_sizes) or None,
    )
    augmentation = None if form.augmentation is None else Augmentation(form.augmentation)
    own_data = feeding.data is None  # another set of data has a part of its own to evaluate on
    feeding = replace(
        feeding,
        data=feeding.data or form.data,
        input_size=feeding.input_size or ",".join(map(str, form.size)),
        augmentation=feeding.augmentation or augmentation,
        hold_out=form.hold_out if own_data and feeding.hold_out is None else feeding.hold_out,
    )
    return (
        learning,
        feeding,
        replace(running, number_of_seeds=running.number_of_seeds or form.seeds),
    )
