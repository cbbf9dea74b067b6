"""The kinds of figures that `sppkit plot` draws."""

import pytest
from PIL import Image

from tests.plots.baseline_images import residual_network

ONE = ("--seeds", "1")


@pytest.fixture
def trained(folder):
    """A recording of a training."""
    residual_network(steps=3).save(folder / "run.parquet")
    return "run.parquet"


@pytest.mark.parametrize(
    "kind", ["gradient-flow", "weights", "over-training", "distribution", "spp"]
)
def test_each_kind_is_drawn_into_a_file_of_its_name(kind, trained, spp, folder):
    result = spp("plot", trained, "--kind", kind)
    assert result.stdout.splitlines()[0] == f"run-{kind}.png"
    with Image.open(folder / f"run-{kind}.png") as picture:
        assert picture.width > 400


def test_an_animation_is_drawn_where_the_name_or_the_kind_says_so(trained, spp, folder):
    spp("plot", trained, "-o", "a.gif")
    assert spp("plot", trained, "--kind", "animation").stdout.startswith("run-spp.gif\n")
    assert (folder / "a.gif").read_bytes() == (folder / "run-spp.gif").read_bytes()


def test_theme_and_width_are_those_of_the_figure(trained, spp, folder):
    spp("plot", trained, "--theme", "dark", "--width", "column", "-o", "a.png")
    with Image.open(folder / "a.png") as picture:
        assert picture.width == round(3.25 * 160)
        assert picture.convert("RGB").getpixel((1, 1)) == (0x16, 0x19, 0x1D)
    spp("plot", trained, "--width", "5.5", "-o", "b.png")
    with Image.open(folder / "b.png") as picture:
        assert picture.width == 5.5 * 160


def test_signal_statistic_and_layers_choose_what_is_drawn(trained, spp, folder):
    spp("plot", trained, "--kind", "over-training", "--signal", "gradient", "-o", "a.svg")
    assert ">Gradient over training</text>" in (folder / "a.svg").read_text()
    spp("plot", trained, "--kind", "over-training", "--statistic", "maximum", "-o", "b.svg")
    assert ">log10 of the maximum</text>" in (folder / "b.svg").read_text()
    spp("plot", trained, "--kind", "distribution", "--layers", "blocks.1*", "-o", "c.svg")
    drawn = (folder / "c.svg").read_text()
    assert ">blocks.11</text>" in drawn
    assert ">blocks.2</text>" not in drawn


def test_flags_without_a_meaning_for_the_kind_are_refused(trained, fails):
    assert "--step has no meaning with --kind over-training; it is for spp, gradient-flow" in fails(
        "plot", trained, "--kind", "over-training", "--step", "1"
    )
    assert "--signal has no meaning with --kind spp" in fails("plot", trained, "--signal", "weight")
    assert "--gradient has no meaning with --kind weights" in fails(
        "plot", trained, "--kind", "weights", "--gradient"
    )


def test_names_that_do_not_fit_the_kind_are_refused(trained, fails):
    assert "'a.gif' is the name of an animation, and --kind weights is a picture" in fails(
        "plot", trained, "--kind", "weights", "-o", "a.gif"
    )
    assert "an animation can be written as .gif, .mp4" in fails(
        "plot", trained, "--kind", "animation", "-o", "a.png"
    )
    assert "width='wide' is not known" in fails("plot", trained, "--width", "wide")


def test_a_model_has_no_training_to_draw(chain, fails):
    error = fails("plot", chain, *ONE, "--kind", "over-training", code=5)
    assert "recorded in training" in error
    error = fails("plot", chain, *ONE, "-o", "a.gif", code=5)
    assert "two recorded steps at least" in error
