"""Several inputs by name, of which some are tokens: what the forward of a language model takes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sppkit.errors import ProbeError

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True)
class Tokens:
    """One input of token ids, drawn uniformly from a vocabulary.

    Attributes:
        size: without the batch, such as (32,) for sequences of 32.
        vocabulary: number of tokens; ids are 0 to vocabulary - 1.
        besides: ids that are not drawn: padding, the end of a sequence, places of pictures.

    Raises:
        ProbeError: the vocabulary holds nothing to draw.
    """

    size: tuple[int, ...]
    vocabulary: int
    besides: frozenset[int] = field(default=frozenset())

    def __post_init__(self) -> None:
        if not self.ids_drawn:
            raise ProbeError(
                f"A vocabulary of {self.vocabulary} tokens, of which {len(self.besides)} are not "
                "drawn, leaves nothing to draw; expected a larger one (--vocab 1000)."
            )

    @property
    def ids_drawn(self) -> int:
        """The number of different ids that are drawn."""
        return self.vocabulary - len(self._left_out)

    def draw(self, batch_size: int, generator: "torch.Generator") -> "Tensor":
        """Draw ids (N, *size), in int64."""
        import torch

        ids = torch.randint(self.ids_drawn, (batch_size, *self.size), generator=generator)
        for other in self._left_out:  # ascending: each makes room for itself
            ids += ids >= other
        return ids

    @property
    def _left_out(self) -> list[int]:
        return sorted(each for each in self.besides if 0 <= each < self.vocabulary)


NamedSizes = Mapping[str, Sequence[int] | Tokens]
"""What the inputs are by name: numbers of a size without the batch, or `Tokens`."""


def size_of(one: Sequence[int] | Tokens) -> tuple[int, ...]:
    """Return the size of one input, without the batch."""
    return one.size if isinstance(one, Tokens) else tuple(one)
