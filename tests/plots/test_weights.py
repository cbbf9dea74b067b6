"""Weights over depth are read back as data."""

import numpy as np
import pytest
import torch
from torch import nn

import sppkit
from sppkit.errors import NothingObservedError
from sppkit.models import build
from tests.plots.reading import line, lines, texts, title
from tests.plots.test_over_training import record


def orthogonal(*gains, width=16):
    """Layers whose weights have the root mean square gain / sqrt(width), exactly."""
    layers = [nn.Linear(width, width, bias=False) for _ in gains]
    for layer, gain in zip(layers, gains, strict=True):
        nn.init.orthogonal_(layer.weight, gain)
    return nn.Sequential(*layers)


def panels(figure):
    return {title(axes): axes for axes in figure.axes}


def test_sizes_and_gains_are_those_of_the_weights():
    gains = [1.0, 2.0**0.5, 3.0]
    recording = sppkit.probe(orthogonal(*gains), input_size=(16,), seeds=1, run="net")
    drawn = panels(sppkit.plot_weights(recording))
    x, size = line(drawn["Weight"], "net")
    assert x.tolist() == [1, 2, 3]
    np.testing.assert_allclose(size, np.array(gains) / 4, rtol=1e-5)  # sqrt(width) = 4
    np.testing.assert_allclose(
        line(drawn["Gain of the weight as used"], "net")[1], gains, rtol=1e-5
    )


def test_the_gains_of_the_usual_initialisations_are_dashed_and_named():
    recording = sppkit.probe(orthogonal(1.0, 1.0), input_size=(16,), seeds=1)
    axes = panels(sppkit.plot_weights(recording))["Gain of the weight as used"]
    assert [y.tolist() for _, y in lines(axes, "_expected")] == [[1, 1], [2**0.5, 2**0.5]]
    assert texts(axes, "_name") == ["1", "√2"]


def test_the_weight_as_used_is_the_effective_one_where_there_is_one():
    recording = sppkit.probe(lambda: build("nf_resnet20"), input_size=(3, 16, 16), seeds=1, run="n")
    table = recording.table()
    used = table.query("signal == 'effective weight'").sort_values("depth")
    fans = recording.structure().query("operation == ''").set_index("layer")["fan_in"]
    expected = np.sqrt(used["second_moment"] * used["layer"].astype(str).map(fans).astype(float))
    x, gains = line(panels(sppkit.plot_weights(recording))["Gain of the weight as used"], "n")
    stored = table[(table["signal"] == "weight") & (table["tensor"] == "weight")]
    assert len(x) == stored["layer"].nunique() > len(used) > 0
    drawn = set(np.round(gains, 9))
    assert set(np.round(expected, 9)) <= drawn


def test_gradients_and_updates_are_drawn_over_their_weights():
    recording = record(every=2, steps=4)
    drawn = panels(sppkit.plot_weights(recording, step=2))
    assert "Update over weight" not in drawn
    table = recording.table().query("signal == 'weight gradient' and step == 2")
    expected = table[table["tensor"] == "weight"].sort_values("depth")["norm_to_weight_ratio"]
    np.testing.assert_allclose(line(drawn["Gradient over weight"], "net")[1], expected)


def test_updates_are_drawn_where_they_were_recorded():
    torch.manual_seed(0)
    model = orthogonal(1.0, 1.0)
    optimizer = torch.optim.SGD(model.parameters(), 0.5)
    with sppkit.record(
        model, optimizer=optimizer, run="net", signals=("weight", "update")
    ) as recording:
        for _ in range(2):
            optimizer.zero_grad()
            model(torch.randn(8, 16)).square().sum().backward()
            optimizer.step()
    axes = panels(sppkit.plot_weights(recording, step=0))["Update over weight"]
    update = recording.table().query("signal == 'update' and step == 0")
    np.testing.assert_allclose(line(axes, "net")[1], update["norm_to_weight_ratio"])
    assert texts(axes, "_name") == ["1e-3"]


def test_bands_and_runs_are_as_everywhere():
    runs = [
        sppkit.probe(lambda: nn.Sequential(nn.Linear(4, 8)), input_size=(4,), seeds=5, run=name)
        for name in ("a", "b")
    ]
    figure = sppkit.plot_weights(*runs)
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["a", "b"]
    axes = panels(figure)["Weight"]
    sizes = np.sqrt(
        runs[0].table().query("signal == 'weight' and tensor == 'weight'")["second_moment"]
    )
    assert line(axes, "a")[1] == pytest.approx([sizes.mean()])


@pytest.mark.parametrize(("value", "words"), [(0.0, "1: 0"), (float("nan"), "1: not finite")])
def test_the_first_weight_that_is_zero_or_not_finite_is_named(value, words):
    model = orthogonal(1.0, 1.0, 100.0)
    model[1].weight.data.fill_(value)
    recording = sppkit.probe(model, input_size=(16,), seeds=1, run="net")
    axes = panels(sppkit.plot_weights(recording))["Weight"]
    assert texts(axes, "_offender") == [words]
    assert np.isnan(line(axes, "net")[1]).tolist() == [False, True, False]


def test_without_weights_there_is_nothing_to_draw():
    recording = sppkit.probe(nn.Sequential(nn.ReLU()), input_size=(4,), seeds=1)
    with pytest.raises(NothingObservedError, match="no weight of a weighted layer was recorded"):
        sppkit.plot_weights(recording)
    with pytest.raises(ValueError, match="at least one recording"):
        sppkit.plot_weights()
