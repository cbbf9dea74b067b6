"""What presets there are, and what an experiment of a paper is about, in words."""

from collections.abc import Iterator

from rich.table import Table
from rich.text import Text

from sppkit.cli.console import Color, print_remark, results
from sppkit.cli.training.entries import asked_for
from sppkit.cli.training.flags import Learning
from sppkit.training.choices import find_preset
from sppkit.training.recipes import RECIPES, Recipe
from sppkit.training.reproduction import Form, Reproduction
from sppkit.training.reproductions import REPRODUCTIONS


def show_presets(learning: Learning, color: Color) -> None:
    """List all presets, or describe the one that was named.

    Raises:
        ValueError: there is none of that name.
    """
    if learning.preset is None:
        _show_all(color)
    elif (reproduction := asked_for(learning)) is not None:
        results(color).print(described(reproduction))
    else:
        results(color).print(_described_recipe(find_preset(learning.preset)))


def told(reproduction: Reproduction) -> Table:
    """Say what the paper found and where to look for it."""
    return _lines(
        ("paper", f"{reproduction.paper}; {reproduction.place}"),
        ("found", reproduction.found),
        ("look at", reproduction.look_at),
    )


def described(reproduction: Reproduction) -> Table:
    """Say everything about an experiment."""
    table = told(reproduction)
    for name, form in (("small", reproduction.small), ("--full-size", reproduction.full)):
        table.add_row(name, Text("\n".join(_form(form))))
    return table


def _form(form: Form) -> Iterator[str]:
    recipe = form.recipe
    rates = form.learning_rates or (recipe.learning_rate,)
    batches = form.batch_sizes or (recipe.batch_size,)
    yield f"networks: {', '.join(arm.name for arm in form.arms)}"
    yield (
        f"{form.data}, {recipe.optimizer}, rates {_listed(rates)}, batches of {_listed(batches)}, "
        f"{recipe.epochs} epochs, seeds: {form.seeds}"
    )
    yield f"differs: {form.differs}"


def _described_recipe(recipe: Recipe) -> Table:
    return _lines(
        ("paper", recipe.paper),
        ("network", f"ref:{recipe.reference}"),
        (
            "recipe",
            f"{recipe.dataset}, {recipe.optimizer}, rate {recipe.learning_rate:g}, batches of "
            f"{recipe.batch_size}, {recipe.epochs} epochs, {recipe.schedule}",
        ),
        ("remark", recipe.remark),
    )


def _show_all(color: Color) -> None:
    console = results(color)
    console.print("Experiments of papers, with networks, data and grid:", style="bold")
    console.print(_lines(*((each.name, each.summary) for each in REPRODUCTIONS)))
    console.print("\nRecipes:", style="bold")
    console.print(_lines(*((each.name, _brief(each)) for each in RECIPES)))
    print_remark("More of one: sppkit train --presets --preset NAME", color)


def _brief(recipe: Recipe) -> str:
    return f"{recipe.paper.split(',')[0]}; {recipe.dataset}, {recipe.epochs} epochs"


def _lines(*rows: tuple[str, str]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(no_wrap=True, style="bold")
    table.add_column()
    for name, words in rows:
        table.add_row(Text(name), Text(words))
    return table


def _listed(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:g}" for value in values)
