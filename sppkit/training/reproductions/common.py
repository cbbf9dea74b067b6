"""What the experiments share: data sets, and recipes for batches that digits can fill."""

from collections.abc import Mapping
from dataclasses import replace

from sppkit.training.choices import change
from sppkit.training.recipes import Clipping, Recipe, find_recipe

CIFAR_100, CIFAR_10 = "hf:uoft-cs/cifar100", "hf:uoft-cs/cifar10"
IMAGENET = "hf:ILSVRC/imagenet-1k"


def small(recipe: str | Recipe, *, batch_size: int, **changes: object) -> Recipe:
    """Take a published recipe, by its name or itself, for batches that digits can fill."""
    found = find_recipe(recipe) if isinstance(recipe, str) else recipe
    return replace(change(found, **changes), batch_size=batch_size)


def adaptive_clipping(limit: float, *exclude: str) -> Mapping[str, object]:
    """Change a recipe to clip unit by unit; parameters can be left out by name."""
    return {"clipping": Clipping(method="adaptive", limit=limit, exclude=exclude)}
