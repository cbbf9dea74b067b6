"""The heat map is read back as data: cells, scale, marks, names."""

import matplotlib as mpl
import numpy as np
import pytest
import torch
from torch import nn

import sppkit
from sppkit.errors import NothingObservedError
from sppkit.recording import Recording


class Shared(nn.Module):
    """A layer that is called twice, between two others."""

    def __init__(self):
        super().__init__()
        self.first, self.twice, self.last = nn.Linear(4, 6), nn.Linear(6, 6), nn.Linear(6, 2)

    def forward(self, x):
        return self.last(self.twice(self.twice(self.first(x)).tanh()).tanh())


def record(model=None, steps=4, every=1, seed=0, change=lambda step, model: None, run="net"):
    torch.manual_seed(seed)
    model = model or Shared()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    recorder = sppkit.record(model, optimizer=optimizer, run=run, seed=seed, every=every)
    with recorder as recording:
        for step in range(steps):
            change(step, model)
            optimizer.zero_grad()
            model(torch.randn(16, 4)).square().mean().backward()
            optimizer.step()
    return recording


def mesh(axes):
    (found,) = axes.collections
    return found


def cells(axes, layers):
    return mesh(axes).get_array().reshape(layers, -1)


def names(axes):
    return [text.get_text() for text in axes.get_yticklabels()]


def marks(axes):
    (line,) = (line for line in axes.lines if line.get_label() == "_not finite")
    return list(zip(line.get_xdata(), line.get_ydata(), strict=True))


def test_cells_hold_the_logarithm_of_each_layer_at_each_recorded_step():
    recording = record(steps=7, every=2)
    axes = sppkit.plot_over_training(recording).axes[0]
    table = recording.table().query("signal == 'activation' and role == 'leaf'")
    ordered = table.sort_values(["depth", "call"], kind="stable")
    wide = ordered.pivot_table("second_moment", ["depth", "call"], "step").to_numpy()
    assert wide.shape == (4, 4)
    np.testing.assert_allclose(cells(axes, 4), np.log10(wide))
    assert names(axes) == ["first", "twice#1", "twice#2", "last"]
    edges = mesh(axes).get_coordinates()[0, :, 0]
    assert edges.tolist() == [-1, 1, 3, 5, 7]  # halfway between steps 0, 2, 4, 6
    assert axes.get_ylim()[0] > axes.get_ylim()[1]  # the first layer is at the top


@pytest.mark.parametrize("signal", ["gradient", "weight", "weight gradient"])
def test_other_signals_and_statistics_are_drawn(signal):
    recording = record()
    figure = sppkit.plot_over_training(recording, signal=signal, statistic="maximum")
    table = recording.table().query(f"signal == '{signal}' and role in ('leaf', 'parameter')")
    table = table[table["tensor"].isin(["", "weight"])]
    layers = 4 if signal == "gradient" else 3
    assert np.isfinite(cells(figure.axes[0], layers)).all()
    biggest = np.log10(table["maximum"].max())
    assert cells(figure.axes[0], layers).max() == pytest.approx(biggest)


def test_runs_stand_side_by_side_on_one_scale():
    recordings = record(run="a"), record(run="b", seed=1, model=nn.Sequential(nn.Linear(4, 2)))
    figure = sppkit.plot_over_training(*recordings)
    left, right, bar = figure.axes
    assert [axes.get_title(loc="left") for axes in (left, right)] == ["a", "b"]
    assert mesh(left).norm is mesh(right).norm
    both = np.concatenate([cells(left, 4).ravel(), cells(right, 1).ravel()])
    assert (mesh(left).norm.vmin, mesh(left).norm.vmax) == (both.min(), both.max())
    assert bar.get_ylabel() == "log10 of the second moment"


def test_seeds_are_averaged_in_their_logarithms():
    each = [record(seed=seed) for seed in (0, 1)]
    tables = [recording.table() for recording in each]
    together = Recording.from_frames(
        sppkit.table.concatenate(tables), each[0].structure(), each[0].metadata
    )
    found = [cells(sppkit.plot_over_training(one).axes[0], 4) for one in (*each, together)]
    np.testing.assert_allclose(found[2], (found[0] + found[1]) / 2)


def test_what_is_not_finite_is_a_gap_with_a_cross():
    def spoil(step, model):
        if step == 2:
            model.twice.weight.data[0, 0] = float("nan")

    axes = sppkit.plot_over_training(record(change=spoil)).axes[0]
    gaps = np.ma.getmaskarray(cells(axes, 4))
    # the loss is not finite from step 2 on, so that at step 3 the first layer is not either
    assert gaps.tolist() == [[False, False, False, True], *[[False, False, True, True]] * 3]
    assert {(2, 2), (2, 3), (2, 4)} <= set(marks(axes))
    assert len(marks(axes)) == gaps.sum()


def test_zeros_have_the_colour_below_the_scale():
    def silence(step, model):
        if step >= 2:
            model.first.weight.data.zero_()
            model.first.bias.data.zero_()

    axes = sppkit.plot_over_training(record(change=silence)).axes[0]
    found = mesh(axes)
    assert cells(axes, 4)[0, 2] < found.norm.vmin
    assert np.isfinite(found.norm.vmin)
    assert found.norm.vmin > -10
    under = mpl.colors.to_rgba(found.cmap.get_under())
    assert found.to_rgba(cells(axes, 4))[0, 2].tolist() == list(under)
    assert marks(axes) == []


def test_relative_rows_begin_at_one_and_the_middle_of_the_scale_is_no_change():
    def double(step, model):
        if step == 1:
            model.first.weight.data.mul_(2)
            model.first.bias.data.mul_(2)

    frozen = Shared().requires_grad_(False)
    frozen.last.requires_grad_(True)
    recording = record(frozen, change=double)
    table = recording.table().query("signal == 'activation' and layer == 'first'")
    expected = np.log10(table["second_moment"] / table["second_moment"].iloc[0])
    axes = sppkit.plot_over_training(recording, relative=True).axes[0]
    assert (cells(axes, 4)[:, 0] == 0).all()
    np.testing.assert_allclose(cells(axes, 4)[0], expected)
    assert cells(axes, 4)[0, 1:].mean() == pytest.approx(np.log10(4), abs=0.25)  # of new noise
    assert mesh(axes).norm.vmin == -mesh(axes).norm.vmax
    middle = mesh(axes).cmap(0.5)
    assert min(middle) > 0.9
    dark = sppkit.plot_over_training(recording, relative=True, theme="dark").axes[0]
    assert max(mesh(dark).cmap(0.5)[:3]) < 0.2


def test_relative_to_zero_there_is_nothing_but_zeros_stay_zeros():
    def silence(step, model):
        model.first.weight.data.fill_(float(step > 1))
        model.first.bias.data.zero_()

    axes = sppkit.plot_over_training(record(change=silence), relative=True).axes[0]
    found = cells(axes, 4)
    assert (found[0, :2] < mesh(axes).norm.vmin).all()
    assert np.ma.getmaskarray(found)[0].tolist() == [False, False, True, True]
    assert marks(axes) == [(2, 1), (3, 1)]


def test_layers_can_be_chosen_by_pattern_and_an_unknown_one_is_refused():
    axes = sppkit.plot_over_training(record(), layers=["t*", "last"]).axes[0]
    assert names(axes) == ["twice#1", "twice#2", "last"]
    with pytest.raises(ValueError, match="fast"):
        sppkit.plot_over_training(record(), layers="fast")


def test_of_many_layers_only_every_third_is_named():
    layers = [layer for _ in range(50) for layer in (nn.Linear(4, 4), nn.Tanh())]
    axes = sppkit.plot_over_training(record(nn.Sequential(*layers), steps=1)).axes[0]
    assert names(axes) == [str(number) for number in range(0, 100, 3)]
    assert cells(axes, 100).shape == (100, 1)


def test_names_of_layers_are_shown_as_they_are():
    model = nn.Sequential()
    model.add_module("a$b_{c}$" + 40 * "x", nn.Linear(4, 2))
    axes = sppkit.plot_over_training(record(model)).axes[0]
    (text,) = axes.get_yticklabels()
    assert text.get_text() == "a$b_{c}$" + 21 * "x" + "..."
    assert not text.get_parse_math()


def test_nothing_global_is_changed_and_pyplot_does_not_know_the_figure():
    before = dict(mpl.rcParams)
    sppkit.plot_over_training(record())
    assert dict(mpl.rcParams) == before
    import matplotlib.pyplot as plt

    assert plt.get_fignums() == []


def test_what_was_not_recorded_in_training_is_said():
    probed = sppkit.probe(nn.Sequential(nn.Linear(4, 2)), input_size=(4,), seeds=1)
    with pytest.raises(NothingObservedError, match="no activation of a layer was recorded in tr"):
        sppkit.plot_over_training(probed)
    with pytest.raises(NothingObservedError, match="no update"):
        sppkit.plot_over_training(record(), signal="update")


def test_unknown_words_list_the_known_ones():
    with pytest.raises(ValueError, match=r"no statistic 'variances'.*average_channel_variance"):
        sppkit.plot_over_training(record(), statistic="variances")
    with pytest.raises(ValueError, match="'activations' is not a valid Signal"):
        sppkit.plot_over_training(record(), signal="activations")
    with pytest.raises(ValueError, match="at least one recording"):
        sppkit.plot_over_training()


def test_what_was_silent_before_the_first_step_is_said_to_have_been_so_at_the_start():
    recording = record()
    recording.metadata["net"]["silent_residual_gains"] = ["block.gain"]
    footer = sppkit.plot_over_training(recording).get_supxlabel()
    assert footer == "train mode · cpu · 1 residual gain at zero at the start"
