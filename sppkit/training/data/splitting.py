"""Hold out a part of the samples, the same in every run."""

import torch
from torch import Tensor

from sppkit.errors import DataError
from sppkit.training.random_streams import generator_of


def split(labels: Tensor, share: float) -> tuple[Tensor, Tensor]:
    """Split samples at random into those to train on and those to evaluate on.

    Of every class about the same share is held out: samples are shuffled, ordered by class, and
    taken at even distances. The split depends on the labels alone, not on the seed of a run.

    Args:
        labels: (N,) classes, or anything of length N, which is then split without regard to it.
        share: of the samples to hold out.

    Returns:
        The numbers of the samples of both parts, in ascending order.

    Raises:
        DataError: one of the parts would be empty.

    Examples:
        >>> train, test = split(torch.tensor([0, 0, 0, 0, 1, 1, 1, 1]), 0.25)
        >>> len(train), len(test)
        (6, 2)
    """
    count = len(labels)
    held = round(share * count)
    if not 0 < held < count:
        raise DataError(
            f"of {count} samples a share of {share:g} cannot be held out: {held} to evaluate on "
            f"and {count - held} to train on. Give more samples, or another share."
        )
    order = torch.randperm(count, generator=generator_of("split"))
    if labels.dim() == 1 and not labels.is_floating_point():
        order = order[labels[order].argsort(stable=True)]
    places = (torch.arange(held, dtype=torch.float64) + 0.5) * count / held
    test = order[places.long()]
    is_test = torch.zeros(count, dtype=torch.bool)
    is_test[test] = True
    numbers = torch.arange(count)
    return numbers[~is_test], numbers[is_test]
