"""An optimiser, a schedule, a clipping and an average of weights, as a recipe says."""

from dataclasses import dataclass

from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from sppkit.training.clipping import (
    AdaptiveGradientClipping,
    GlobalNormClipping,
    GradientClipping,
    ValueClipping,
)
from sppkit.training.parameter_groups import GroupRule, parameter_groups
from sppkit.training.recipes import Recipe, find_recipe
from sppkit.training.schedules import rate_factor

_METHODS: dict[str, type[GradientClipping]] = {
    "adaptive": AdaptiveGradientClipping,
    "value": ValueClipping,
    "norm": GlobalNormClipping,
}


@dataclass(frozen=True)
class Training:
    """What a recipe needs in a training loop.

    Attributes:
        recipe: it was made from.
        optimizer: of torch.
        schedule: to be stepped once per step of the optimiser.
        clipping: to be called between the backward pass and the step; None does nothing.
        average: of the model's weights, to be updated after the step; None is none.
        loss: cross-entropy with the recipe's label smoothing.
    """

    recipe: Recipe
    optimizer: Optimizer
    schedule: LambdaLR
    clipping: GradientClipping | None
    average: AveragedModel | None
    loss: nn.CrossEntropyLoss

    def step(self, model: nn.Module) -> None:
        """Clip, step, follow the schedule, average; after the backward pass.

        Gradients are kept, for those who look at them; `optimizer.zero_grad()` is yours.
        """
        if self.clipping is not None:
            self.clipping()
        self.optimizer.step()
        self.schedule.step()
        if self.average is not None:
            self.average.update_parameters(model)


def prepare_training(
    recipe: str | Recipe,
    model: nn.Module,
    *,
    steps_per_epoch: int,
    batch_size: int | None = None,
) -> Training:
    """Make what a recipe needs to train a model.

    The model need not be the recipe's own: rules and exclusions are by name, and those that match
    none of its parameters are an error. Data and augmentation are yours.

    Args:
        recipe: a recipe, or its name.
        model: what is trained.
        steps_per_epoch: steps of the optimiser in one pass over the data.
        batch_size: None is the recipe's. The rate is scaled with it where the recipe says so.

    Raises:
        ValueError: an unknown recipe, a pattern that matches no parameter, or a number of steps or
            images below 1.
    """
    chosen = find_recipe(recipe) if isinstance(recipe, str) else recipe
    size = chosen.batch_size if batch_size is None else batch_size
    if steps_per_epoch < 1 or size < 1:
        raise ValueError(f"expected 1 step and image or more; got {steps_per_epoch} and {size}")
    optimizer = _optimizer(chosen, model, size)
    return Training(
        recipe=chosen,
        optimizer=optimizer,
        schedule=LambdaLR(optimizer, lambda step: rate_factor(chosen, step / steps_per_epoch)),
        clipping=_clipping(chosen, model),
        average=_average(chosen, model),
        loss=nn.CrossEntropyLoss(label_smoothing=chosen.label_smoothing),
    )


def _optimizer(recipe: Recipe, model: nn.Module, batch_size: int) -> Optimizer:
    scale = batch_size / recipe.batch_size if recipe.rate_scales_with_batch else 1.0
    groups = parameter_groups(
        model,
        [GroupRule(r.patterns, r.rate_factor, r.weight_decay) for r in recipe.rules],
        learning_rate=recipe.learning_rate * scale,
        weight_decay=recipe.weight_decay,
    )
    if recipe.optimizer != "sgd":
        method = AdamW if recipe.optimizer == "adamw" else Adam
        return method(groups, betas=(recipe.momentum, 0.999))
    return SGD(groups, momentum=recipe.momentum, nesterov=recipe.nesterov)


def _clipping(recipe: Recipe, model: nn.Module) -> GradientClipping | None:
    if recipe.clipping is None:
        return None
    method = _METHODS[recipe.clipping.method]
    return method(model, recipe.clipping.limit, exclude=recipe.clipping.exclude or None)


def _average(recipe: Recipe, model: nn.Module) -> AveragedModel | None:
    if recipe.averaging_decay is None:
        return None
    average = get_ema_multi_avg_fn(recipe.averaging_decay)
    return AveragedModel(model, multi_avg_fn=average, use_buffers=True)
