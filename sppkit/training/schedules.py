"""Learning rates over epochs, as factors of the highest rate."""

import math

from sppkit.training.recipes import Recipe


def rate_factor(recipe: Recipe, epoch: float) -> float:
    """Compute what the highest rate is multiplied by at a moment of the training.

    With w warm-up epochs of E, and t = (epoch - w) / (E - w):

        warm-up    epoch / w
        cosine     low + (1 - low) (1 + cos(pi t)) / 2,  low = lowest_rate / learning_rate
        steps      step_factor ^ (milestones passed)
        linear     1 - (n + 1) / (E - w), n the number of whole epochs behind the warm-up

    The linear rate is set before each epoch, so that the last one has the rate 0, as in the code of
    Chen et al. (2021, arXiv 2104.08215).

    Args:
        recipe: what is published.
        epoch: epochs done, with the part of the present one.

    Returns:
        The factor, 1 at the highest rate; that of the last epoch from there on.
    """
    epoch = min(epoch, float(recipe.epochs))
    if epoch < recipe.warmup_epochs:
        return epoch / recipe.warmup_epochs
    length = recipe.epochs - recipe.warmup_epochs
    since = epoch - recipe.warmup_epochs
    if recipe.schedule == "cosine":
        low = recipe.lowest_rate / recipe.learning_rate
        return low + (1.0 - low) * (1.0 + math.cos(math.pi * since / length)) / 2.0
    if recipe.schedule == "steps":
        return recipe.step_factor ** sum(epoch >= milestone for milestone in recipe.milestones)
    if recipe.schedule == "linear":
        return max(0.0, 1.0 - (math.floor(since) + 1) / length)
    return 1.0
