"""Animations are read back as data: steps, axes that stay, files."""

import io

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.animation import FFMpegWriter
from PIL import Image, ImageSequence
from torch import nn

import sppkit
from sppkit.errors import NothingObservedError, OutputError
from sppkit.plots.files import written_by_sppkit
from tests.plots.reading import line
from tests.plots.test_over_training import record


def grow(step, model):
    model.first.weight.data.mul_(3.0)


@pytest.fixture(scope="module")
def growing():
    return record(change=grow, steps=4)


def limits(figure):
    return [(axes.get_xlim(), axes.get_ylim(), axes.get_yscale()) for axes in figure.axes]


def step_label(figure):
    (found,) = (text.get_text() for text in figure.texts if text.get_label() == "_step")
    return found


def test_each_step_is_drawn_as_the_plot_of_that_step_draws_it(growing):
    """S8."""
    animation = sppkit.animate(growing)
    assert animation.steps == (0, 1, 2, 3)
    for step in animation.steps:
        figure = animation.show_step(step)
        assert step_label(figure) == f"step {step}"
        assert len(figure.points) == 2  # of this step alone
        still = sppkit.plot_signal_propagation(growing, step=step)
        for axes, other in zip(figure.axes, still.axes, strict=True):
            np.testing.assert_array_equal(line(axes, "net"), line(other, "net"))
            assert axes.get_title(loc="left") == other.get_title(loc="left")


def test_axes_stay_and_hold_the_values_of_all_steps(growing):
    """S8."""
    animation = sppkit.animate(growing)
    each = [limits(animation.show_step(step)) for step in animation.steps]
    assert all(found == each[0] for found in each)
    variance = animation.figure.axes[1]
    values = [
        line(sppkit.plot_signal_propagation(growing, step=s).axes[1], "net")[1] for s in range(4)
    ]
    low, high = variance.get_ylim()
    assert low < np.min(values)
    assert high > np.max(values)
    assert variance.get_yscale() == "log"


def test_panels_do_not_move(growing):
    animation = sppkit.animate(growing, gradient=True)
    places = [
        [axes.get_position().bounds for axes in animation.show_step(step).axes]
        for step in animation.steps
    ]
    assert len(animation.figure.axes) == 4
    assert all(found == places[0] for found in places)


def test_of_many_steps_a_hundred_are_shown_and_any_can_be_asked_for():
    recording = record(nn.Sequential(nn.Linear(4, 2)), steps=250)
    steps = sppkit.animate(recording).steps
    assert len(steps) == 100
    assert (steps[0], steps[-1]) == (0, 249)
    assert sppkit.animate(recording, steps=[7, 3]).steps == (7, 3)
    with pytest.raises(ValueError, match="step 250 was not recorded by 'net'"):
        sppkit.animate(recording, steps=[250])
    with pytest.raises(ValueError, match="steps is empty"):
        sppkit.animate(recording, steps=[])


def test_the_steps_that_all_runs_have_recorded_are_shown():
    runs = record(run="a", steps=7, every=2), record(run="b", steps=7, every=3, seed=1)
    assert sppkit.animate(*runs).steps == (0, 6)


def test_what_cannot_be_animated_is_said(growing):
    probed = sppkit.probe(nn.Sequential(nn.Linear(4, 2)), input_size=(4,), seeds=1)
    with pytest.raises(NothingObservedError, match=r"two recorded steps at least.*there is 1"):
        sppkit.animate(probed)
    with pytest.raises(ValueError, match="at least one recording"):
        sppkit.animate()
    with pytest.raises(ValueError, match="step 9 is not shown; there are 0, 1, 2, 3"):
        sppkit.animate(growing).show_step(9)


def test_a_gif_has_a_picture_for_each_step_holds_the_last_and_names_sppkit(growing, tmp_path):
    """S8."""
    sppkit.animate(growing).save(tmp_path / "a.gif")
    assert written_by_sppkit(tmp_path / "a.gif")
    with Image.open(tmp_path / "a.gif") as picture:
        assert picture.n_frames == 4
        assert picture.info["comment"].startswith(b"sppkit ")
        durations = [frame.info["duration"] for frame in ImageSequence.Iterator(picture)]
    assert durations == [200, 200, 200, 2000]
    (tmp_path / "b.gif").write_bytes(b"GIF89a")
    with pytest.raises(OutputError, match="was not written by sppkit"):
        sppkit.animate(growing).save(tmp_path / "b.gif")


def test_equal_animations_give_equal_files(growing):
    assert sppkit.animate(growing).as_gif() == sppkit.animate(growing).as_gif()


def test_pictures_are_of_the_colours_that_were_drawn(growing):
    dark = Image.open(io.BytesIO(sppkit.animate(growing, theme="dark").as_gif())).convert("RGB")
    assert dark.getpixel((2, 2)) == (0x16, 0x19, 0x1D)


@pytest.mark.skipif(not FFMpegWriter.isAvailable(), reason="ffmpeg is not installed")
def test_a_film_is_written_where_ffmpeg_is_there(growing, tmp_path):
    sppkit.animate(growing).save(tmp_path / "a.mp4")
    assert (tmp_path / "a.mp4").read_bytes()[4:8] == b"ftyp"
    assert written_by_sppkit(tmp_path / "a.mp4")


def test_without_ffmpeg_a_film_is_refused_before_it_is_drawn(growing, tmp_path, monkeypatch):
    monkeypatch.setattr(FFMpegWriter, "isAvailable", classmethod(lambda _: False))
    with pytest.raises(OutputError, match=r"needs ffmpeg, which is not on the path.*write a .gif"):
        sppkit.animate(growing).save(tmp_path / "a.mp4")
    with pytest.raises(OutputError, match=r"an animation can be written as .gif, .mp4"):
        sppkit.animate(growing).save(tmp_path / "a.png")


def test_notebooks_show_it_without_a_script(growing):
    html = sppkit.animate(growing, steps=[0, 1])._repr_html_()
    assert html.startswith(
        '<img alt="Signal propagation over training" src="data:image/gif;base64,'
    )


def test_nothing_global_is_changed(growing):
    before = dict(mpl.rcParams)
    sppkit.animate(growing, steps=[0, 1]).as_gif()
    assert dict(mpl.rcParams) == before
