import pytest
import torch

import sppkit.models
from sppkit.patterns import matcher
from sppkit.training.choices import change
from sppkit.training.optimizers import prepare_training
from sppkit.training.recipes import RECIPES, find_recipe
from sppkit.training.reproductions import (
    BN_AFFINE_FFNN,
    REPRODUCTIONS,
    find_reproduction,
    nearest_reproduction,
)

FORMS = {
    f"{each.name} {kind}": (each, getattr(each, kind))
    for each in REPRODUCTIONS
    for kind in ("small", "full")
}


@pytest.fixture(params=FORMS.values(), ids=FORMS)
def form(request):
    return request.param[1]


def network_of(arm):
    """Build an arm's network, without memory for its weights."""
    with torch.device("meta"):
        return sppkit.models.build(arm.target.removeprefix("ref:"), **arm.arguments)


def test_names_tell_experiments_and_recipes_apart():
    names = [each.name for each in (*REPRODUCTIONS, *RECIPES)]
    assert len(names) == len(set(names))
    for each in REPRODUCTIONS:
        assert find_reproduction(each.name) is each
    assert find_reproduction("resnet50") is None
    assert find_reproduction(None) is None
    assert nearest_reproduction("resnet50") is None


def test_every_text_is_a_sentence():
    for each in REPRODUCTIONS:
        for form in (each.small, each.full):
            assert form.differs.endswith(".")
        assert each.found.endswith(".")
        assert each.look_at.endswith(".")


def test_arms_are_told_apart_by_name_and_by_what_they_are(form):
    assert len({arm.name for arm in form.arms}) == len(form.arms)
    kinds = {(arm.target, repr(arm.arguments), repr(arm.changes)) for arm in form.arms}
    assert len(kinds) == len(form.arms)


def test_every_arm_can_be_built_and_trained_by_its_recipe(form):
    for arm in form.arms:
        recipe = change(form.recipe, **arm.changes)
        training = prepare_training(recipe, network_of(arm), steps_per_epoch=10)
        assert (training.clipping is None) == (recipe.clipping is None)


def test_the_same_networks_are_compared_in_both_sizes():
    for each in REPRODUCTIONS:
        names = [[arm.name for arm in form.arms] for form in (each.small, each.full)]
        if each is BN_AFFINE_FFNN:  # the width of the narrow one is in its name
            names = [form[:-1] for form in names]
        assert names[0] == names[1]


@pytest.mark.parametrize(("reproduction", "form"), FORMS.values(), ids=FORMS)
def test_what_to_look_at_is_there(reproduction, form):
    """The gain of a batch normalisation is the one quantity that some networks have not."""
    for quantity in reproduction.quantities:
        matches = matcher(quantity.layers)
        for arm in form.arms:
            names = [name for name, _ in network_of(arm).named_modules()]
            is_absent = quantity.title == "gain" and arm.name == "none"
            assert any(map(matches, names)) != is_absent, quantity.title


@pytest.mark.parametrize("form", [BN_AFFINE_FFNN.small, BN_AFFINE_FFNN.full])
def test_gains_are_compared_at_equal_width_and_as_published(form):
    networks = {arm.name: network_of(arm) for arm in form.arms}
    affine, fixed, narrow = (networks[name] for name in list(networks)[1:])
    assert affine.hidden[0].linear.weight.shape == fixed.hidden[0].linear.weight.shape
    gains = sum(p.numel() for layer in affine.hidden for p in layer.norm.parameters())
    parameters = [sum(p.numel() for p in net.parameters()) for net in (affine, fixed, narrow)]
    assert parameters[0] - gains == parameters[1] > parameters[2]
    assert not list(fixed.hidden[0].norm.parameters())


def test_full_feed_forward_networks_are_those_of_the_thesis():
    counts = [sum(p.numel() for p in network_of(a).parameters()) for a in BN_AFFINE_FFNN.full.arms]
    assert counts[0] == 3_725_924
    assert counts[3] == 398_200


def test_small_forms_are_the_published_recipes_but_for_what_digits_cannot_have():
    """Fewer samples allow smaller batches and fewer epochs; rates follow, nothing else does."""
    allowed = {"batch_size", "epochs", "learning_rate", "rate_scales_with_batch"}
    allowed |= {"milestones", "warmup_epochs"}  # shares of the epochs
    for each in REPRODUCTIONS:
        small, full = (vars(form.recipe) for form in (each.small, each.full))
        assert {name for name in small if small[name] != full[name]} <= allowed, each.name


def test_full_forms_of_the_thesis_have_its_recipe():
    assert BN_AFFINE_FFNN.full.recipe == find_recipe("ffnn_thesis")
    assert (BN_AFFINE_FFNN.full.learning_rates, BN_AFFINE_FFNN.full.seeds) == (
        (0.1, 0.01, 0.001),
        5,
    )
