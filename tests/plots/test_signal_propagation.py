"""The figures are read back as data: lines, dots, marks, texts."""

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import sppkit
from sppkit.models import build
from tests.cases import FunctionalLoop, PostActivationResNet, Tokens


@pytest.fixture(scope="module")
def recording():
    return sppkit.probe(PostActivationResNet, input_size=(3, 16, 16), seeds=3, run="resnet")


def lines(axes, name):
    """Give the (x, y) of all lines with a label."""
    found = [line for line in axes.lines if line.get_label() == name]
    return [(np.asarray(line.get_xdata()), np.asarray(line.get_ydata())) for line in found]


def legend_texts(figure):
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def test_three_panels_hold_the_means_over_seeds(recording):
    """D9: squared mean, variance, residual variance."""
    figure = sppkit.plot_signal_propagation(recording)
    squared_mean, variance, residual = figure.axes
    table = recording.table().query("signal == 'activation'")
    for axes, column in (
        (squared_mean, "average_channel_squared_mean"),
        (variance, "average_channel_variance"),
    ):
        blocks = table[table["tap"].isin(["stem", "block"])]
        expected = blocks.groupby("block")[column].mean()
        ((x, y),) = lines(axes, "resnet")
        assert x.tolist() == [0, 1, 2, 3, 4]
        assert np.allclose(y, expected.to_numpy(float))
    ends = table[table["tap"] == "residual branch"].groupby("block")["average_channel_variance"]
    ((x, y),) = lines(residual, "resnet")
    assert x.tolist() == [1, 2, 3, 4]
    assert np.allclose(y, ends.mean().to_numpy(float))


def test_bands_reach_from_the_tenth_to_the_ninetieth_percentile(recording):
    """D9: over seeds."""
    figure = sppkit.plot_signal_propagation(recording)
    (band,) = figure.axes[1].collections
    vertices = band.get_paths()[0].vertices
    blocks = recording.table().query("signal == 'activation' and tap == 'block' and block == 2")
    values = blocks["average_channel_variance"]
    heights = vertices[vertices[:, 0] == 2, 1]
    assert heights.min() == pytest.approx(values.quantile(0.1))
    assert heights.max() == pytest.approx(values.quantile(0.9))


def test_black_dots_end_the_stages(recording):
    """D9: marks."""
    figure = sppkit.plot_signal_propagation(recording)
    for axes in figure.axes:
        ((x, _),) = lines(axes, "_stage ends")
        assert x.tolist() == [2, 4]
    (separator,) = (line for line in figure.axes[1].lines if list(line.get_xdata()) == [2.5, 2.5])
    assert separator.get_linewidth() < 1
    texts = {text.get_text() for text in figure.axes[1].texts}
    assert {"stage 1", "2"} <= texts


def test_the_axis_is_logarithmic_when_values_span_more_than_twenty_and_says_so():
    class Growing(nn.Module):
        def __init__(self, factor):
            super().__init__()
            self.layers = nn.ModuleList([nn.Linear(32, 32) for _ in range(6)])
            for layer in self.layers:
                nn.init.normal_(layer.weight, std=factor / 32**0.5)

        def forward(self, x):
            for layer in self.layers:
                x = layer(x)
            return x

    steep = sppkit.probe(lambda: Growing(3.0), input_size=(32,), seeds=1)
    level = sppkit.probe(lambda: Growing(1.0), input_size=(32,), seeds=1)
    variance = sppkit.plot_signal_propagation(steep).axes[1]
    assert variance.get_yscale() == "log"
    assert "log scale" in variance.get_ylabel()
    assert sppkit.plot_signal_propagation(level).axes[1].get_yscale() == "linear"


def test_without_blocks_the_weighted_layers_are_drawn_and_the_residual_panel_is_left_out():
    recording = sppkit.probe(lambda: build("mlp", depth=4), input_size=(64,), seeds=2, run="mlp")
    figure = sppkit.plot_signal_propagation(recording)
    assert len(figure.axes) == 2
    ((x, _),) = lines(figure.axes[1], "mlp")
    assert x.tolist() == [1, 2, 3, 4, 5]
    assert "Weighted layer" in figure.axes[0].get_xlabel()
    assert "no residual branch to show" in figure.get_supxlabel()


def test_a_transformer_block_has_its_two_branches_at_half_steps():
    recording = sppkit.probe(
        Tokens, input_size=(5,), input_dtype="int", vocabulary=11, seeds=1, run="t"
    )
    residual = sppkit.plot_signal_propagation(recording).axes[2]
    ((x, _),) = lines(residual, "t")
    assert x.tolist() == [0.5, 1.0, 1.5, 2.0]


def test_runs_overlay_in_colours_and_line_styles_of_their_own(recording):
    other = sppkit.probe(PostActivationResNet, input_size=(3, 16, 16), seeds=2, run="other")
    figure = sppkit.plot_signal_propagation(recording, other)
    drawn = [line for line in figure.axes[1].lines if line.get_label() in ("resnet", "other")]
    assert len({line.get_color() for line in drawn}) == 2
    assert len({str(line.get_linestyle()) for line in drawn}) == 2
    assert legend_texts(figure) == ["resnet", "other", "expected"]


def test_two_runs_of_one_name_are_told_apart(recording):
    figure = sppkit.plot_signal_propagation(recording, recording)
    drawn = sppkit.plot_signal_propagation(recording).axes[1]
    for name in ("resnet", "resnet #2"):
        np.testing.assert_array_equal(lines(figure.axes[1], name), lines(drawn, "resnet"))


def test_the_footer_states_input_batch_seeds_mode_and_device(recording):
    footer = sppkit.plot_signal_propagation(recording).get_supxlabel()
    for part in ("gaussian noise", "size 3x16x16", "batch 16", "3 seeds", "train mode", "cpu"):
        assert part in footer


def test_the_footer_states_what_runs_share_once_and_what_differs_by_run(recording):
    other = sppkit.probe(PostActivationResNet, input_size=(3, 16, 16), seeds=2, run="other")
    footer = sppkit.plot_signal_propagation(recording, other).get_supxlabel()
    assert footer.splitlines() == [
        "gaussian noise · size 3x16x16 · batch 16 · train mode · cpu",
        "resnet: 3 seeds",
        "other: 2 seeds",
    ]


def test_the_gradient_row_shows_the_gradients_of_the_same_places(recording):
    figure = sppkit.plot_signal_propagation(recording, gradient=True)
    assert len(figure.axes) == 6
    ((_, y),) = lines(figure.axes[4], "resnet")
    rows = recording.table().query("signal == 'gradient' and tap in ['stem', 'block']")
    expected = rows.groupby("block")["average_channel_variance"].mean()
    assert np.allclose(y, expected.to_numpy(float))


def broken(weight):
    """A chain whose third layer has one broken weight."""
    model = nn.Sequential(*[nn.Linear(16, 16) for _ in range(5)])
    with torch.no_grad():
        model[2].weight[0, 0] = weight
    return model


@pytest.mark.parametrize("weight", [float("nan"), float("inf")])
def test_a_value_that_is_not_finite_is_a_gap_and_a_mark_at_the_edge(weight):
    recording = sppkit.probe(broken(weight), input_size=(16,), seeds=2, run="broken")
    axes = sppkit.plot_signal_propagation(recording).axes[1]
    ((_, y),) = lines(axes, "broken")
    assert np.isnan(y).tolist() == [False, False, True, True, True]
    ((x, height),) = lines(axes, "_not finite")
    assert x.tolist() == [3, 4, 5]
    assert set(height) == {0.98}
    assert any("2: not finite" in text.get_text() for text in axes.texts)


def test_a_net_that_is_dead_is_drawn_at_zero():
    model = nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU())
    nn.init.zeros_(model[0].weight)
    nn.init.zeros_(model[0].bias)
    nn.init.zeros_(model[2].bias)
    recording = sppkit.probe(model, input_size=(16,), seeds=1, run="dead")
    axes = sppkit.plot_signal_propagation(recording).axes[1]
    ((_, y),) = lines(axes, "dead")
    assert y.tolist() == [0.0, 0.0]


def test_a_zero_on_a_logarithmic_axis_is_a_mark_at_the_lower_edge():
    model = nn.Sequential(*[nn.Linear(16, 16, bias=False) for _ in range(4)])
    with torch.no_grad():
        model[1].weight.mul_(10)
        model[3].weight.zero_()
    recording = sppkit.probe(model, input_size=(16,), seeds=1, run="net")
    axes = sppkit.plot_signal_propagation(recording).axes[1]
    assert axes.get_yscale() == "log"
    ((x, height),) = lines(axes, "_zero")
    assert x.tolist() == [4]
    assert set(height) == {0.02}


def test_squared_means_that_are_rounding_are_drawn_as_zero(recording):
    table = recording.table()
    table["average_channel_squared_mean"] = 1e-15 * table["second_moment"]
    rounded = sppkit.Recording.from_frames(table, recording.structure(), recording.metadata)
    axes = sppkit.plot_signal_propagation(rounded).axes[0]
    ((_, y),) = lines(axes, "resnet")
    assert set(y) == {0.0}
    assert axes.get_yscale() == "linear"


def test_normalisation_layers_are_no_weighted_layers():
    recording = sppkit.probe(
        lambda: build("mlp", depth=3, norm="batch"), input_size=(64,), seeds=1, run="mlp"
    )
    ((x, _),) = lines(sppkit.plot_signal_propagation(recording).axes[1], "mlp")
    assert x.tolist() == [1, 2, 3, 4]


def test_theory_is_a_thin_dashed_line_for_gaussian_input():
    """D9: what is expected."""
    recording = sppkit.probe(
        lambda: build("nf_resnet20", skip_gain=1.0), input_size=(3, 16, 16), seeds=1, run="nf"
    )
    figure = sppkit.plot_signal_propagation(recording)
    ((x, y),) = lines(figure.axes[1], "_expected")
    assert np.allclose(y, [1.04, 1.08, 1.12] * 3)
    assert x.tolist() == list(range(1, 10))
    assert not lines(sppkit.plot_signal_propagation(recording, theory=False).axes[1], "_expected")
    assert legend_texts(figure) == ["expected"]
    assert figure.get_suptitle() == "nf"


def test_theory_is_anchored_at_the_first_block_for_other_input():
    recording = sppkit.probe(
        lambda: build("nf_resnet20", skip_gain=1.0),
        input_size=(3, 16, 16),
        input="pink",
        seeds=2,
        run="nf",
    )
    figure = sppkit.plot_signal_propagation(recording)
    ((_, y),) = lines(figure.axes[1], "_expected")
    ((_, measured),) = lines(figure.axes[1], "nf")
    assert y[0] == pytest.approx(measured[1])
    assert y[1] / y[0] == pytest.approx(1.08 / 1.04)
    assert legend_texts(figure) == ["expected, anchored at block 1"]


def test_networks_with_silent_gains_have_no_expectation():
    recording = sppkit.probe(lambda: build("nf_resnet20"), input_size=(3, 16, 16), seeds=1)
    assert not lines(sppkit.plot_signal_propagation(recording).axes[1], "_expected")


def test_the_first_block_far_off_its_expectation_is_named():
    def build_broken():
        model = build("nf_resnet20", skip_gain=1.0)
        with torch.no_grad():
            model.stages[1][1].skip_gain.fill_(30.0)
        return model

    recording = sppkit.probe(build_broken, input_size=(3, 16, 16), seeds=1)
    texts = [t.get_text() for t in sppkit.plot_signal_propagation(recording).axes[1].texts]
    assert "stages.1.1" in texts


def test_operations_stand_for_blocks_written_in_the_root():
    recording = sppkit.probe(FunctionalLoop, input_size=(4,), seeds=1, run="loop")
    ((x, _),) = lines(sppkit.plot_signal_propagation(recording).axes[1], "loop")
    assert x.tolist() == [0, 1, 2, 3, 4, 5]


def test_matplotlib_is_left_as_found(recording):
    import matplotlib.pyplot as plt

    before, figures = dict(mpl.rcParams), plt.get_fignums()
    sppkit.plot_signal_propagation(recording)
    sppkit.plot_gradient_flow(recording)
    assert dict(mpl.rcParams) == before
    assert plt.get_fignums() == figures


def test_names_with_special_characters_are_written_as_they_are(recording):
    table, structure = recording.table(), recording.structure()
    name = "_net $x_1$ <b>"
    other = sppkit.Recording.from_frames(
        table.assign(run=name), structure.assign(run=name), {name: recording.metadata["resnet"]}
    )
    figure = sppkit.plot_signal_propagation(other, recording)
    figure.draw_without_rendering()
    assert legend_texts(figure)[:2] == [f" {name}", "resnet"]


def test_notebooks_show_the_figure(recording):
    assert sppkit.plot_signal_propagation(recording)._repr_png_().startswith(b"\x89PNG")


def test_steps_of_a_training_run_can_be_chosen():
    """D9: over training."""
    model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8))
    with sppkit.record(model, run="r") as recording:
        for scale in (1.0, 10.0):
            model(scale * torch.randn(64, 8)).sum().backward()
            recording.step()
    first, second = (
        lines(sppkit.plot_signal_propagation(recording, step=step).axes[1], "r")[0][1]
        for step in (0, 1)
    )
    assert (second > 5 * first).all()
    with pytest.raises(ValueError, match="step 7 was not recorded by 'r'; recorded are 0, 1"):
        sppkit.plot_signal_propagation(recording, step=7)
    with pytest.raises(TypeError, match="step must be one number, not list"):
        sppkit.plot_signal_propagation(recording, step=[0, 1])
    footer = sppkit.plot_signal_propagation(recording, step=1).get_supxlabel()
    assert "step 1, train pass, batch 64" in footer


def test_a_probe_and_a_training_run_overlay():
    model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8))
    with sppkit.record(model, run="trained") as trained:
        model(torch.randn(64, 8)).sum().backward()
    probed = sppkit.probe(model, input_size=(8,), seeds=2, run="probed")
    for order in ((trained, probed), (probed, trained)):
        axes = sppkit.plot_signal_propagation(*order).axes[1]
        assert lines(axes, "trained")
        assert lines(axes, "probed")


def test_runs_recorded_at_different_steps_show_their_first():
    recordings = []
    for name, every in (("a", 1), ("b", 2)):
        model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8))
        with sppkit.record(model, run=name, every=every) as recording:
            for _ in range(3):
                model(torch.randn(4, 8))
                recording.step()
        recordings.append(recording)
    with pytest.raises(ValueError, match="step 1 was not recorded by 'b'; recorded are 0, 2"):
        sppkit.plot_signal_propagation(*recordings, step=1)
    assert lines(sppkit.plot_signal_propagation(*recordings, step=2).axes[1], "b")


def test_logarithmic_ticks_are_typeset_beside_names_that_are_not(recording):
    figure = sppkit.plot_signal_propagation(recording)
    figure.draw_without_rendering()
    texts = [t for axes in figure.axes for t in axes.get_yticklabels(which="both")]
    assert all(text.get_parse_math() for text in texts)
    assert not figure._suptitle.get_parse_math()


def test_an_empty_recording_is_refused():
    from sppkit.errors import NothingObservedError

    with sppkit.record(nn.Linear(2, 2)) as recording:
        pass
    with pytest.raises(NothingObservedError, match="no forward pass was seen"):
        sppkit.plot_signal_propagation(recording)
    with pytest.raises(ValueError, match="at least one recording"):
        sppkit.plot_signal_propagation()
    with pytest.raises(TypeError, match="expected recordings"):
        sppkit.plot_signal_propagation(pd.DataFrame())


def test_gradient_flow_draws_root_mean_squares_of_outputs_and_weights(recording):
    figure = sppkit.plot_gradient_flow(recording)
    outputs, weights = figure.axes
    table = recording.table()
    leaves = table[(table["signal"] == "gradient") & (table["role"] == "leaf")]
    leaves = leaves[~leaves["flags"].astype(str).str.startswith("alias")]
    first = leaves[leaves["layer"] == "conv1"]["second_moment"] ** 0.5
    ((_, y),) = lines(outputs, "resnet")
    assert y[0] == pytest.approx(first.mean())
    first = table.query("signal == 'weight gradient' and layer == 'conv1'")["second_moment"] ** 0.5
    ((_, y),) = lines(weights, "resnet")
    assert y[0] == pytest.approx(first.mean())
    assert "loss: unit-gradient" in figure.get_supxlabel()


def test_gradient_flow_without_gradients_is_refused():
    from sppkit.errors import NothingObservedError

    model = nn.Sequential(nn.Linear(2, 2))
    with sppkit.record(model) as recording:
        model(torch.randn(3, 2))
    with pytest.raises(NothingObservedError, match="no gradient was recorded"):
        sppkit.plot_gradient_flow(recording)


def test_a_pooling_stem_leaves_the_first_identity_blocks_without_expectation():
    recording = sppkit.probe(PostActivationResNet, input_size=(3, 16, 16), seeds=1, batch_size=64)
    ((x, y),) = lines(sppkit.plot_signal_propagation(recording).axes[1], "_expected")
    known = dict(zip(x.tolist(), y.tolist(), strict=True))
    assert not [block for block in (1, 2) if np.isfinite(known.get(block, np.nan))]
    assert [known[3], known[4]] == pytest.approx([0.682, 0.997], abs=1e-3)


def test_gains_at_zero_are_stated_below_the_plot():
    recording = sppkit.probe(lambda: build("nf_resnet20"), input_size=(3, 16, 16), seeds=1)
    footer = sppkit.plot_signal_propagation(recording).get_supxlabel()
    assert "9 residual gains at zero" in footer
