"""Distributions over training are read back as data."""

import numpy as np
import pytest
import torch
from torch import nn

import sppkit
from sppkit.errors import NothingObservedError
from sppkit.plots.distribution import spread_over_steps
from sppkit.plots.over_training import rows_of_layers
from sppkit.signals import Signal
from tests.plots.reading import bands, line, lines, title
from tests.plots.test_over_training import record


class Shifted(nn.Module):
    """Two channels of known mean and range: 10 ± 1 and -10 ± 1, whatever the step."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Identity()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, x):
        values = torch.tensor([[9.0, -9.0], [11.0, -11.0]]) + 0 * x[:2, :2]
        return self.layer(self.weight * values)


def shifted(steps=2):
    model = Shifted()
    with sppkit.record(model, run="net") as recording:
        for _ in range(steps):
            model(torch.randn(4, 4)).sum().backward()
            recording.step()
    return recording


def test_bands_are_the_spread_of_channel_means_of_values_and_their_range():
    figure = sppkit.plot_distribution_over_training(shifted())
    (axes,) = figure.axes
    assert title(axes) == "layer"
    x, mean = line(axes, "net")
    assert x.tolist() == [0, 1]
    np.testing.assert_allclose(mean, 0, atol=1e-6)
    ((_, low, high),) = bands(axes, "_channel means")  # means 10 and -10: sd 10
    np.testing.assert_allclose([low, high], [[-10, -10], [10, 10]], rtol=1e-6)
    ((_, low, high),) = bands(axes, "_extremes")
    np.testing.assert_allclose([low, high], [[-11, -11], [11, 11]])


def test_without_quantiles_the_middle_is_a_standard_deviation_around_the_mean():
    recording = shifted()
    table = recording.table()
    table[["quantile_05", "quantile_95"]] = np.nan
    frame = spread_over_steps(rows_of_layers(table, Signal.ACTIVATION))
    np.testing.assert_allclose(frame["values high"], np.sqrt(101), rtol=1e-6)  # 10² + 1²
    table["quantile_05"], table["quantile_95"] = -3.0, 4.0
    frame = spread_over_steps(rows_of_layers(table, Signal.ACTIVATION))
    assert frame[["values low", "values high"]].to_numpy().tolist() == [[-3, 4], [-3, 4]]


def test_of_many_layers_a_dozen_are_drawn_from_the_first_to_the_last():
    model = nn.Sequential(*[nn.Linear(4, 4) for _ in range(50)])
    figure = sppkit.plot_distribution_over_training(record(model, steps=2))
    drawn = [title(axes) for axes in figure.axes if axes.get_visible()]
    assert len(drawn) == 12
    assert [drawn[0], drawn[-1]] == ["0", "49"]


def test_layers_are_chosen_by_name():
    figure = sppkit.plot_distribution_over_training(record(), layers=["t*", "last"])
    assert [title(axes) for axes in figure.axes if axes.get_visible()] == [
        *("twice#1", "twice#2"),
        "last",
    ]
    with pytest.raises(
        ValueError, match=r"layers='fast' matched no layer.*such as 'last', 'first'"
    ):
        sppkit.plot_distribution_over_training(record(), layers="fast")


def test_what_is_not_finite_is_a_gap_and_a_mark():
    def spoil(step, model):
        if step == 2:
            model.last.weight.data[0, 0] = float("nan")

    figure = sppkit.plot_distribution_over_training(record(change=spoil), layers="last")
    assert np.isnan(line(figure.axes[0], "net")[1]).tolist() == [False, False, True, True]
    assert line(figure.axes[0], "_not finite")[0].tolist() == [2, 3]


def test_extremes_that_would_hide_the_values_get_a_symmetric_logarithm():
    def widen(step, model):
        model.last.bias.data[0] = 1e4 if step == 3 else 0.0

    figure = sppkit.plot_distribution_over_training(record(change=widen), layers="last")
    assert figure.axes[0].get_yscale() == "symlog"
    figure = sppkit.plot_distribution_over_training(record(), layers="last")
    assert figure.axes[0].get_yscale() == "linear"


def test_signals_of_parameters_are_drawn_and_runs_overlay():
    runs = record(run="a"), record(run="b", seed=1)
    figure = sppkit.plot_distribution_over_training(*runs, signal="weight gradient")
    assert [title(axes) for axes in figure.axes if axes.get_visible()] == ["first", "twice", "last"]
    assert lines(figure.axes[0], "a")
    assert lines(figure.axes[0], "b")
    assert "weight gradient over training" in figure.get_supxlabel()


def test_a_limit_of_fp16_that_is_in_reach_is_drawn_on_both_sides():
    def widen(step, model):
        model.last.bias.data[:] = torch.tensor([1e5, -1e5])

    figure = sppkit.plot_distribution_over_training(record(change=widen), layers="last")
    levels = {y[0] for _, y in lines(figure.axes[0], "_limit")}
    assert {65504.0, -65504.0} <= levels


def test_what_was_not_recorded_in_training_is_said():
    probed = sppkit.probe(nn.Sequential(nn.Linear(4, 2)), input_size=(4,), seeds=1)
    with pytest.raises(NothingObservedError, match="recorded in training"):
        sppkit.plot_distribution_over_training(probed)
    with pytest.raises(ValueError, match="at least one recording"):
        sppkit.plot_distribution_over_training()
    with pytest.raises(ValueError, match="'activations' is not a valid Signal"):
        sppkit.plot_distribution_over_training(record(), signal="activations")
