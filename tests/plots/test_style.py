"""Themes, widths, texts and limits, read back from the figures."""

import re

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from torch import nn

import sppkit
from sppkit.plots import canvas, marks, style
from sppkit.plots.files import save_figure
from tests.cases import PostActivationResNet
from tests.plots.reading import lines, texts
from tests.plots.test_over_training import record


@pytest.fixture(scope="module")
def recording():
    return sppkit.probe(PostActivationResNet, input_size=(3, 16, 16), seeds=2, run="resnet")


def luminance(color):
    """WCAG 2.2, relative luminance."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(color)]
    return float(np.dot([0.2126, 0.7152, 0.0722], linear))


def contrast(one, other):
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("name", style.THEMES)
def test_texts_have_the_contrast_that_readers_need(name):
    """WCAG 2.2: 4.5 for text, 3 for graphical objects."""
    theme = style.THEMES[name]
    for text in (theme.ink, theme.faint, theme.expected):
        assert contrast(text, theme.ground) >= 4.5
    for color in style.run_colors(10, theme)[:5]:
        assert contrast(color, theme.ground) >= 2.3


@pytest.mark.parametrize("name", style.THEMES)
def test_colours_of_ten_runs_differ(name):
    assert len(set(style.run_colors(10, style.THEMES[name]))) == 10


PLOTS = {
    "plot_signal_propagation": lambda theme, width, r: sppkit.plot_signal_propagation(
        r, gradient=True, theme=theme, width=width
    ),
    "plot_gradient_flow": lambda theme, width, r: sppkit.plot_gradient_flow(
        r, theme=theme, width=width
    ),
    "plot_weights": lambda theme, width, r: sppkit.plot_weights(r, theme=theme, width=width),
    "plot_comparison": lambda theme, width, r: sppkit.plot_comparison(
        r, r, theme=theme, width=width
    ),
    "plot_over_training": lambda theme, width, r: sppkit.plot_over_training(
        record(), theme=theme, width=width
    ),
    "plot_distribution_over_training": lambda theme, width, r: (
        sppkit.plot_distribution_over_training(record(), theme=theme, width=width)
    ),
    "animate": lambda theme, width, r: sppkit.animate(record(), theme=theme, width=width).figure,
}


@pytest.mark.parametrize("name", PLOTS)
def test_every_figure_has_a_dark_variant_and_leaves_no_dark_text_on_it(name, recording):
    figure = PLOTS[name]("dark", "screen", recording)
    ground = style.THEMES["dark"].ground
    assert to_rgb(figure.get_facecolor()) == to_rgb(ground)
    figure.draw_without_rendering()  # outside of the style, as those do who save it
    written = [t for t in figure.findobj(mpl.text.Text) if t.get_text() and t.get_visible()]
    assert written
    assert min(contrast(text.get_color(), ground) for text in written) >= 4.5


@pytest.mark.parametrize("name", PLOTS)
@pytest.mark.parametrize(("width", "inches"), [("column", 3.25), ("page", 6.75), (5.5, 5.5)])
def test_figures_have_the_widths_of_papers_and_nothing_is_cut_off(name, width, inches, recording):
    figure = PLOTS[name]("light", width, recording)
    assert figure.get_figwidth() == inches
    figure.draw_without_rendering()
    box = figure.get_tightbbox()
    assert box.x0 >= -0.05
    assert box.x1 <= inches + 0.05


def test_panels_of_a_column_stand_below_each_other_and_keep_their_places_in_the_grid(recording):
    figure = sppkit.plot_signal_propagation(recording, gradient=True, width="column")
    wide = sppkit.plot_signal_propagation(recording, gradient=True)
    assert figure.axes[0].get_subplotspec().get_gridspec().get_geometry() == (6, 1)
    assert {a.get_title(loc="left") for a in figure.axes} == {
        a.get_title(loc="left") for a in wide.axes
    }
    labelled = [axes for axes in figure.axes if axes.get_xlabel()]
    assert all(axes.get_subplotspec().is_last_row() for axes in labelled)
    assert len(labelled) == 1
    turned = sppkit.plot_signal_propagation(recording, gradient=True, width=4.5)
    assert turned.axes[0].get_subplotspec().get_gridspec().get_geometry() == (3, 2)


@pytest.mark.parametrize("width", ["column", "page"])
def test_labels_of_panels_beside_each_other_do_not_run_into_each_other(width, recording):
    for figure in (
        sppkit.plot_signal_propagation(recording, gradient=True, width=width),
        sppkit.plot_weights(recording, width=width),
        sppkit.plot_gradient_flow(recording, width=width),
    ):
        figure.draw_without_rendering()
        for labels in ([a.xaxis.label for a in figure.axes], [a._left_title for a in figure.axes]):
            boxes = [text.get_window_extent() for text in labels if text.get_text()]
            for k, box in enumerate(boxes):
                assert not any(box.overlaps(other) for other in boxes[k + 1 :])


def test_unknown_looks_are_refused_with_those_that_are_known(recording):
    with pytest.raises(ValueError, match="theme='black' is not known; there are: light, dark"):
        sppkit.plot_weights(recording, theme="black")
    with pytest.raises(
        ValueError, match="width='wide' is not known; expected screen, column, page"
    ):
        sppkit.plot_weights(recording, width="wide")
    with pytest.raises(ValueError, match=r"width=1 is not known.*2 at least"):
        sppkit.plot_weights(recording, width=1)
    with pytest.raises(ValueError, match="width=nan is not known"):
        sppkit.plot_weights(recording, width=float("nan"))


def test_long_footers_are_folded_where_the_figure_is_narrow(recording):
    wide = sppkit.plot_signal_propagation(recording).get_supxlabel()
    narrow = sppkit.plot_signal_propagation(recording, width="column").get_supxlabel()
    assert narrow.split() == wide.split()
    assert len(narrow.splitlines()) > len(wide.splitlines())


def test_vector_files_hold_text_as_text(recording, tmp_path):
    figure = sppkit.plot_signal_propagation(recording, width="page")
    svg = save_figure(figure, tmp_path / "a.svg").read_text("utf-8")
    assert ">Average channel squared mean</text>" in svg
    assert 'width="486pt"' in svg  # 6.75 inches
    pdf = save_figure(figure, tmp_path / "a.pdf").read_bytes()
    assert b"/Type3" not in pdf
    assert re.search(rb"/FontFile2", pdf)


def magnitudes(low, high, log=True):
    with style.house_style():
        _, grid = canvas.new_figure(1, 1, (4, 3))
        axes = grid[0][0]
        axes.set_yscale("log" if log else "linear")
        axes.set_ylim(low, high)
        marks.draw_precision_limits(axes)
    return axes


def test_limits_of_precision_are_drawn_where_they_are_in_reach():
    axes = magnitudes(1e-8, 1.0)
    assert texts(axes, "_name") == ["fp16 smallest normal", "fp8 e4m3 smallest normal"]
    assert [y[0] for _, y in lines(axes, "_limit")] == [2**-14, 2**-6]
    assert texts(magnitudes(0.1, 10.0), "_name") == ["fp8 e4m3 smallest normal"]
    assert texts(magnitudes(0.3, 30.0), "_name") == []


def test_an_axis_grows_for_a_limit_that_is_near():
    axes = magnitudes(1.0, 20_000.0)
    assert "fp16 largest" in texts(axes, "_name")
    assert axes.get_ylim()[1] > 65504


def test_limits_that_would_cover_each_other_are_named_once():
    names = texts(magnitudes(1e-30, 1e30), "_name")
    assert "fp16 largest" in names
    assert "fp8 e5m2 largest" not in names
    assert "fp8 e5m2 largest" in texts(magnitudes(3e4, 7e4), "_name")


def test_the_limits_are_those_of_the_types():
    torch = pytest.importorskip("torch")
    types = {
        "fp16": torch.float16,
        "bf16": torch.bfloat16,
        "fp8 e4m3": torch.float8_e4m3fn,
        "fp8 e5m2": torch.float8_e5m2,
    }
    for name, limit in marks.PRECISION_LIMITS.items():
        kind, _, which = name.partition(" largest")[0].partition(" smallest")
        known = torch.finfo(types[kind])
        assert limit == (known.smallest_normal if which else known.max)


def test_the_first_layer_without_a_gradient_is_named():
    model = nn.Sequential(*[nn.Linear(8, 8) for _ in range(4)])
    model[2].weight.data.zero_()
    recording = sppkit.probe(model, input_size=(8,), seeds=1, run="net")
    outputs, weights = sppkit.plot_gradient_flow(recording).axes
    assert texts(outputs, "_offender")[0].startswith("0")
    assert texts(weights, "_offender")[0].startswith("0")


def test_points_of_a_figure_tell_layer_value_and_expectation(recording):
    figure = sppkit.plot_signal_propagation(recording)
    points = {id(each.axes): each.frame for each in figure.points}
    variance = points[id(figure.axes[1])]
    assert list(variance["x"]) == [0, 1, 2, 3, 4]
    assert variance["layer"].iloc[1] == "layer1.0"
    blocks = recording.table().query("signal == 'activation' and tap == 'block'")
    expected = blocks.groupby("block")["average_channel_variance"].mean()
    np.testing.assert_allclose(variance["value"][1:], expected)
    assert variance["expected"].notna().any()


@pytest.mark.parametrize(
    ("low", "high", "exponents"),
    [
        (3e-91, 4e45, [-80, -60, -40, -20, 0, 20, 40]),
        (2e-13, 3.0, [-12, -10, -8, -6, -4, -2, 0]),
        (1e-40, 1e-6, [-40, -35, -30, -25, -20, -15, -10]),
        (1e-300, 1e300, [-300, -200, -100, 0, 100, 200, 300]),
    ],
)
def test_many_decades_are_ticked_at_round_distances(low, high, exponents):
    axes = Figure().subplots()
    canvas.set_scale(axes, is_log=True)
    axes.set_ylim(low, high)
    shown = [t for t in axes.get_yticks() if low <= t <= high]
    assert np.log10(shown).round().tolist() == exponents


def test_few_decades_are_ticked_as_matplotlib_does():
    ours, plain = Figure().subplots(1, 2)
    canvas.set_scale(ours, is_log=True)
    plain.set_yscale("log")
    for axes in (ours, plain):
        axes.set_ylim(0.02, 300)
    assert list(ours.get_yticks()) == list(plain.get_yticks())
