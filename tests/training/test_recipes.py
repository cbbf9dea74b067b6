import re
import subprocess
import sys

import pytest
import torch

from sppkit.models import build, find_reference
from sppkit.training.clipping import AdaptiveGradientClipping
from sppkit.training.optimizers import prepare_training
from sppkit.training.recipes import RECIPES, Recipe, find_recipe
from sppkit.training.schedules import rate_factor

NAMES = [recipe.name for recipe in RECIPES]


def _recipe(**changes):
    return Recipe(
        **{
            "name": "test",
            "reference": "nf_resnet_digits",
            "paper": "none",
            "dataset": "digits",
            "batch_size": 64,
            "epochs": 10,
            "learning_rate": 0.1,
            **changes,
        }
    )


def test_names_are_unique():
    assert len(set(NAMES)) == len(NAMES)


@pytest.mark.parametrize("recipe", RECIPES, ids=NAMES)
def test_every_recipe_fits_the_network_that_it_names(recipe):
    with torch.device("meta"):
        model = build(recipe.reference, **recipe.model_arguments)
    training = prepare_training(
        recipe if recipe.averaging_decay is None else _without_average(recipe),
        model,
        steps_per_epoch=100,
    )
    held = {id(p) for group in training.optimizer.param_groups for p in group["params"]}
    assert held == {id(p) for p in model.parameters()}


def _without_average(recipe):
    """Leave out the average, a copy that the meta device has no use for."""
    import dataclasses

    return dataclasses.replace(recipe, averaging_decay=None)


def test_the_recipe_of_nfnets():
    recipe = find_recipe("nfnet_f0")
    assert recipe.learning_rate == pytest.approx(0.1 * recipe.batch_size / 256)
    assert (recipe.clipping.limit, recipe.clipping.exclude) == (0.01, ("head.classifier.weight",))
    assert (recipe.weight_decay, recipe.label_smoothing, recipe.nesterov) == (2e-5, 0.1, True)
    assert (recipe.averaging_decay, recipe.warmup_epochs, recipe.epochs) == (0.99999, 5, 360)


def test_decay_of_nf_regnets_grows_with_their_level():
    decays = [find_recipe(f"nf_regnet_b{level}").weight_decay for level in range(6)]
    assert decays == [pytest.approx(5e-5 + level * 1e-5) for level in range(6)]
    assert find_recipe("nf_regnet_b0").clipping is None


def test_the_recipe_of_eunnet_e8():
    """E8: SGD 0.9, decay 1e-4 on everything, 0.1 per 256 images, steps at 30, 60, 90 after 5."""
    recipe = find_recipe("eunnet50")
    assert recipe.learning_rate == pytest.approx(0.1 * recipe.batch_size / 256)
    assert (recipe.momentum, recipe.weight_decay, recipe.rules) == (0.9, 1e-4, ())
    factors = [rate_factor(recipe, 5 + epoch) for epoch in (0, 30, 60, 90)]
    assert factors == [1.0, pytest.approx(0.1), pytest.approx(0.01), pytest.approx(0.001)]
    assert recipe.model_arguments == {"convolution_dropout": 0.03, "classifier_dropout": 0.3}
    assert "MixUp 0.7" in find_recipe("eunnet50_mixup").augmentation


@pytest.mark.parametrize("network", ["reactnet_a_bf", "reactnet18_bf"])
def test_the_recipe_of_binary_networks_b5(network):
    """B5: two stages; AGC 0.02 without the classifier; linear; convolutions decay in the first."""
    first, second = (find_recipe(f"{network}_stage{stage}") for stage in (1, 2))
    assert first.model_arguments == {"binary": "activations"}
    assert second.model_arguments == {"binary": "all"}
    for recipe in (first, second):
        assert (recipe.clipping.limit, recipe.schedule) == (0.02, "linear")
        training = prepare_training(recipe, build(network, width=4), steps_per_epoch=1)
        kept = {name for name, _ in build(network, width=4).named_parameters()}
        assert kept - set(training.clipping.parameters) == {
            "head.classifier.weight",
            "head.classifier.bias",
        }
        decayed = {
            name
            for group in training.optimizer.param_groups
            for name in group["names"]
            if group["weight_decay"]
        }
        four_axes = {n for n, p in build(network, width=4).named_parameters() if p.dim() == 4}
        assert decayed == (four_axes if recipe is first else set())


def test_an_unknown_recipe_names_the_nearest_and_lists_all():
    with pytest.raises(ValueError, match=r"did you mean 'nfnet_f0'\?.*there are: nfnet_f0, "):
        find_recipe("nfnet_f00")


def test_the_table_needs_no_torch():
    code = "import sys, sppkit.training.recipes; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


# -- schedules


def test_warm_up_is_linear_and_the_cosine_ends_at_the_lowest_rate():
    recipe = _recipe(warmup_epochs=2, lowest_rate=0.01)
    assert [rate_factor(recipe, epoch) for epoch in (0, 1, 2)] == [0.0, 0.5, 1.0]
    assert rate_factor(recipe, 6) == pytest.approx((1.0 + 0.1) / 2)
    assert rate_factor(recipe, 10) == pytest.approx(0.1)
    assert rate_factor(recipe, 12) == pytest.approx(0.1)


def test_steps_drop_at_the_milestones():
    recipe = _recipe(schedule="steps", milestones=(3, 6))
    factors = [rate_factor(recipe, epoch) for epoch in (0, 2.9, 3, 6, 9)]
    assert factors == [1.0, 1.0, pytest.approx(0.1), pytest.approx(0.01), pytest.approx(0.01)]


def test_the_linear_rate_is_zero_in_the_last_epoch():
    """B5: set before each epoch, the last one learns nothing."""
    recipe = _recipe(schedule="linear", epochs=4)
    factors = [rate_factor(recipe, epoch) for epoch in (0, 0.5, 1, 2, 3, 3.5, 4)]
    assert factors == [0.75, 0.75, 0.5, 0.25, 0.0, 0.0, 0.0]


def test_a_constant_rate_stays():
    assert rate_factor(_recipe(schedule="constant"), 7) == 1.0


# -- what a training loop gets


def test_a_recipe_becomes_a_training():
    """N6, E8: optimiser, groups, schedule, clipping, average and loss of one recipe."""
    torch.manual_seed(0)
    model = build("nf_resnet_digits")
    training = prepare_training("nfnet_f0", model, steps_per_epoch=10, batch_size=256)
    assert isinstance(training.clipping, AdaptiveGradientClipping)
    assert training.loss.label_smoothing == 0.1
    assert {g["weight_decay"] for g in training.optimizer.param_groups} == {0.0, 2e-5}
    before = {name: p.clone() for name, p in model.named_parameters()}
    x, y = torch.randn(16, 1, 8, 8), torch.arange(16) % 10
    for step in range(3):
        assert training.schedule.get_last_lr()[0] == pytest.approx(0.1 * step / 50)
        training.optimizer.zero_grad()
        training.loss(model(x), y).backward()
        training.step(model)
    changed = [name for name, p in model.named_parameters() if not torch.equal(p, before[name])]
    assert len(changed) > 10
    assert int(training.average.n_averaged) == 3


def test_the_rate_scales_with_the_batch_only_where_the_recipe_says_so():
    model = build("nf_resnet_digits")
    scaled = prepare_training("nfnet_f0", model, steps_per_epoch=1, batch_size=128)
    fixed = prepare_training("nf_regnet_b0", model, steps_per_epoch=1, batch_size=128)
    assert scaled.optimizer.param_groups[0]["initial_lr"] == pytest.approx(0.05)
    assert fixed.optimizer.param_groups[0]["initial_lr"] == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("name", "method"), [("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)]
)
def test_adam_is_built_with_its_beta(name, method):
    recipe = _recipe(optimizer=name, momentum=0.8)
    training = prepare_training(recipe, build("nf_resnet_digits"), steps_per_epoch=1)
    assert type(training.optimizer) is method
    assert training.optimizer.param_groups[0]["betas"] == (0.8, 0.999)
    assert (training.clipping, training.average) == (None, None)


def test_a_recipe_whose_rules_fit_no_parameter_is_refused():
    with pytest.raises(ValueError, match="matched no parameter"):
        prepare_training("fixup_resnet50", build("mlp"), steps_per_epoch=1)


@pytest.mark.parametrize(
    "arguments", [{"steps_per_epoch": 0}, {"steps_per_epoch": 1, "batch_size": 0}]
)
def test_numbers_below_one_are_refused(arguments):
    with pytest.raises(ValueError, match="1 step and image or more"):
        prepare_training("nfnet_f0", build("nf_resnet_digits"), **arguments)


@pytest.mark.parametrize("recipe", RECIPES, ids=NAMES)
def test_every_recipe_names_a_network_that_is_bundled(recipe):
    assert find_reference(recipe.reference).name == recipe.reference
    assert re.search(r"\b(19|20)\d\d\b", recipe.paper), "a paper has a year"
