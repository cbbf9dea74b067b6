import pytest

from sppkit.training.choices import DEFAULT, change, find_preset, read_clipping
from sppkit.training.recipes import RECIPES, Clipping


def test_without_a_preset_it_is_the_default_and_nothing_given_changes_nothing():
    assert find_preset(None) is DEFAULT
    for recipe in RECIPES:
        assert change(recipe, learning_rate=None, epochs=None) == recipe


def test_other_epochs_scale_the_schedule_along_unless_the_warm_up_is_given():
    recipe = find_preset("eunnet50")  # 105 epochs, 5 of warm-up, milestones 35, 65, 95
    short = change(recipe, epochs=21)
    assert (short.warmup_epochs, short.milestones) == (1.0, (7, 13, 19))
    assert change(recipe, epochs=21, warmup_epochs=2.0).warmup_epochs == 2.0


def test_a_rate_that_is_given_does_not_follow_the_batch_size():
    recipe = find_preset("resnet50")
    assert recipe.rate_scales_with_batch
    assert change(recipe, momentum=0.8).rate_scales_with_batch
    assert not change(recipe, learning_rate=0.2).rate_scales_with_batch


@pytest.mark.parametrize(
    ("text", "clipping"),
    [
        ("none", None),
        ("agc:0.01", Clipping(method="adaptive", limit=0.01, exclude=("head*",))),
        ("adaptive:1e-2", Clipping(method="adaptive", limit=0.01, exclude=("head*",))),
        ("norm:1", Clipping(method="norm", limit=1.0, exclude=("head*",))),
        ("value:.5", Clipping(method="value", limit=0.5, exclude=("head*",))),
    ],
)
def test_clippings_are_read(text, clipping):
    assert read_clipping(text, ("head*",)) == clipping


@pytest.mark.parametrize("text", ["agc", "agc:", "norm:0", "norm:-1", "norm:nan", "agc:x", "no:1"])
def test_what_is_no_clipping_lists_what_is(text):
    with pytest.raises(ValueError, match=r"is no clipping; expected agc:0\.01"):
        read_clipping(text)


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"learning_rate": 0.0}, "--lr 0.0"),
        ({"learning_rate": float("nan")}, "--lr nan"),
        ({"weight_decay": -1.0}, "--weight-decay -1.0 is negative"),
        ({"label_smoothing": 1.0}, "--label-smoothing 1.0"),
        ({"averaging_decay": 1.5}, "--average 1.5"),
        ({"warmup_epochs": 10.0}, "--warmup 10 does not fit into 10 epochs"),
        ({"nesterov": True, "momentum": 0.0}, "--nesterov needs a --momentum"),
    ],
)
def test_numbers_without_a_meaning_are_named_by_their_flags(wanted, message):
    with pytest.raises(ValueError, match=message):
        change(DEFAULT, **wanted)
