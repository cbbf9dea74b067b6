"""A recipe with some things changed: what flags and grids ask for. No torch is needed."""

import dataclasses
import re
from typing import Any

from sppkit.training.recipes import Clipping, Recipe, find_recipe

DEFAULT = Recipe(
    name="default",
    reference="",
    paper="",
    dataset="any small one",
    batch_size=8,
    epochs=10,
    optimizer="adam",
    learning_rate=3e-3,
    rate_scales_with_batch=False,
    schedule="cosine",
    warmup_epochs=0.25,
    remark="of the settings tried, the first with which bn_, nf_ and sn_resnet20 all reach 0.9 on "
    "digits in three epochs (seed 0); nobody has published it",
)
"""What is used where no preset is named."""

_CLIPPING = re.compile(r"(agc|adaptive|norm|value):(.+)")


def find_preset(name: str | None) -> Recipe:
    """Return a recipe by name; `DEFAULT` for None.

    Raises:
        ValueError: there is none of that name.
    """
    return DEFAULT if name is None else find_recipe(name)


def change(recipe: Recipe, **wanted: Any) -> Recipe:
    """Change a recipe; what is None stays as it is.

    Other epochs scale the warm-up and the milestones along, so that the shape of the schedule
    stays. A rate that is given is meant as it is, whatever the batch size.

    Raises:
        ValueError: a number has no meaning.

    Examples:
        >>> short = change(find_preset("resnet50"), epochs=9, learning_rate=0.2)
        >>> short.milestones, short.learning_rate, short.rate_scales_with_batch
        ((3, 6, 8), 0.2, False)
    """
    wanted = {name: value for name, value in wanted.items() if value is not None}
    if "learning_rate" in wanted:
        wanted.setdefault("rate_scales_with_batch", False)
    if (epochs := wanted.get("epochs")) is not None:
        share = epochs / recipe.epochs
        milestones = tuple(round(share * milestone) for milestone in recipe.milestones)
        scaled = {"warmup_epochs": share * recipe.warmup_epochs, "milestones": milestones}
        wanted = {**scaled, **wanted}
    changed = dataclasses.replace(recipe, **wanted)
    _check(changed)
    return changed


def read_clipping(text: str, exclude: tuple[str, ...] = ()) -> Clipping | None:
    """Read how gradients are clipped: agc:0.01, norm:1, value:0.5, or none.

    >>> read_clipping("agc:0.01")
    Clipping(method='adaptive', limit=0.01, exclude=())

    Raises:
        ValueError: it is none of these.
    """
    if text == "none":
        return None
    match = _CLIPPING.fullmatch(text)
    try:
        limit = float(match[2]) if match else 0.0
    except ValueError:
        limit = 0.0
    if match is None or not limit > 0:
        raise ValueError(
            f"'--clip {text}' is no clipping; expected agc:0.01 (unit-wise, beside the weights), "
            "norm:1 (of the whole gradient), value:0.5 (of each number), or none."
        )
    method = "adaptive" if match[1] == "agc" else match[1]
    return Clipping(method=method, limit=limit, exclude=exclude)  # type: ignore[arg-type]


def _check(recipe: Recipe) -> None:
    """Refuse numbers that no optimiser takes, before a network is built."""
    positive = {"--lr": recipe.learning_rate, "--epochs": recipe.epochs}
    for flag, value in positive.items():
        if not value > 0:
            raise ValueError(f"{flag} {value} has no meaning; expected a number above 0.")
    shares = {
        "--momentum": recipe.momentum,
        "--label-smoothing": recipe.label_smoothing,
        "--average": recipe.averaging_decay or 0.0,
    }
    for flag, value in shares.items():
        if not 0 <= value < 1:
            raise ValueError(f"{flag} {value} has no meaning; expected 0 or more and below 1.")
    if not recipe.weight_decay >= 0:
        raise ValueError(f"--weight-decay {recipe.weight_decay} is negative.")
    if not 0 <= recipe.warmup_epochs < recipe.epochs:
        raise ValueError(
            f"--warmup {recipe.warmup_epochs:g} does not fit into {recipe.epochs} epochs; expected "
            "0 or more, and fewer."
        )
    if recipe.nesterov and not recipe.momentum:
        raise ValueError("--nesterov needs a --momentum above 0.")
