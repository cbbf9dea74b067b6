"""What an experiment of a paper is made of, as data: networks, recipe, grid, and what to look at.

The table itself is in `sppkit.training.reproductions`. Nothing here needs torch.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from sppkit.training.recipes import Recipe

Over = Literal["mean", "largest", "first / last"]
"""How the layers of one step become one number: their geometric mean, the largest, or the first of
them in depth divided by the last."""


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One network of a comparison.

    Attributes:
        name: what its runs are called.
        target: what is built, as on the command line.
        arguments: of its factory.
        changes: fields of the recipe that are its own, such as its clipping.
    """

    name: str
    target: str
    arguments: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))
    changes: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """A number of a recorded step in which the paper's finding shows.

    Attributes:
        title: a few words, a column's heading.
        signal, statistic: rows and column of the recording's table.
        layers: patterns of the layers that count, as in `sppkit.record(include=)`.
        tensor: of the layer: "" is its output, else a parameter's name.
        over: how these layers become one number.
    """

    title: str
    signal: str
    statistic: str
    layers: tuple[str, ...]
    tensor: str = ""
    over: Over = "mean"


@dataclass(frozen=True, kw_only=True)
class Form:
    """One size of an experiment.

    Attributes:
        arms: the networks.
        data: what they are trained on, as `--data` has it.
        size: of a sample.
        recipe: how they are trained.
        learning_rates, batch_sizes: of the grid; none is that of the recipe.
        seeds: how many runs each point of the grid has.
        augmentation: as `--augment` has it.
        hold_out: as `--hold-out` has it.
        differs: from what the paper did, in sentences.
    """

    arms: tuple[Arm, ...]
    data: str
    size: tuple[int, ...]
    recipe: Recipe
    learning_rates: tuple[float, ...] = ()
    batch_sizes: tuple[int, ...] = ()
    seeds: int = 1
    augmentation: str | None = None
    hold_out: float | None = None
    differs: str = ""


@dataclass(frozen=True, kw_only=True)
class Reproduction:
    """An experiment of a paper.

    Attributes:
        name: what `--preset` takes.
        summary: in a line.
        paper: title, authors, year, number.
        place: figure, table or section.
        found: what the paper found, a paragraph.
        look_at: where that is to be seen in the runs, a paragraph.
        quantities: the numbers that show it, beside accuracy and loss.
        small: finishes on two CPU cores within minutes.
        full: of the published size, for a GPU.
    """

    name: str
    summary: str
    paper: str
    place: str
    found: str
    look_at: str
    quantities: tuple[Quantity, ...]
    small: Form
    full: Form
