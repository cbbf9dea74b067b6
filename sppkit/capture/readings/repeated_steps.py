"""Steps that look like an earlier one, on their way from the device to the table."""

from collections import deque
from collections.abc import Hashable, Iterator

from sppkit.capture.readings.recipes import PhasePages, Recipe
from sppkit.table import Columns

MOST_RECIPES = 64
"""Kinds of steps that are remembered: each holds the labels of its rows, about 150 bytes each."""


class RepeatedSteps:
    """Make the rows of steps by the recipe of the first one of their kind, when they have come."""

    def __init__(self) -> None:
        self._recipes: dict[Hashable, Recipe] = {}
        self._on_the_way: deque[tuple[Columns, Recipe, PhasePages]] = deque()

    def __contains__(self, signature: Hashable) -> bool:
        """Say whether a step of this kind has been before."""
        return signature in self._recipes

    def learn(self, signature: Hashable, recipe: Recipe) -> None:
        """Remember how the rows of a kind of step are made."""
        if len(self._recipes) >= MOST_RECIPES:
            self._recipes.clear()
        self._recipes[signature] = recipe

    def begin(self, signature: Hashable, constants: Columns, pages: PhasePages) -> None:
        """Send for the numbers of a step.

        Args:
            signature: its kind, one that is known.
            constants: columns of one value for all its rows.
            pages: what it has written; they go back when its rows are made.
        """
        for page in (page for found in pages.values() for page in found):
            page.send()
        self._on_the_way.append((constants, self._recipes[signature], pages))

    def rows(self, *, wait: bool) -> Iterator[Columns]:
        """Give the rows of what has arrived, in the order of the steps.

        Args:
            wait: until everything has.
        """
        while self._on_the_way:
            constants, recipe, pages = self._on_the_way[0]
            every = [page for found in pages.values() for page in found]
            if not wait and not all(page.has_arrived for page in every):
                return
            yield {**constants, **recipe.columns(pages)}
            self._on_the_way.popleft()
            for page in every:
                page.put_back()
