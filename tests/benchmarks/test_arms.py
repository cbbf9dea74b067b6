import pandas as pd
import pytest

from benchmarks.arms.__main__ import main
from benchmarks.arms.arm import ARMS, DATA, NETWORKS, Arm, make_network
from sppkit.training.clipping import AdaptiveGradientClipping


def test_the_grid_is_one_table_and_its_signal_propagation_g4(tmp_path, capsys):
    """G4: method x network x data x seed, one row each, with the propagation of every arm."""
    matching = "weight normalisation, norm clipping, dropout"
    main(["--match", matching, "--seeds", "1", "--epochs", "1", "--output", str(tmp_path)])
    cells = pd.read_csv(tmp_path / "cells.csv")
    assert set(cells["arm"]) == {matching}
    assert len(cells) == len(NETWORKS) * len(DATA)
    assert not cells.duplicated(["arm", "network", "data", "seed"]).any()
    assert cells["loss"].between(0, 10).all()
    assert cells["clip_rate"].between(0, 1).all()
    propagation = pd.read_csv(tmp_path / "propagation.csv")
    layers = propagation.groupby(["arm", "network", "data", "step", "signal"]).size()
    assert set(layers.unstack("network").stack()) == {6, 18}
    assert (propagation["average_channel_variance"] > 0).all()
    assert len(capsys.readouterr().out.splitlines()) == len(cells)


def test_arms_switch_what_they_say():
    assert len({arm.name for arm in ARMS}) == len(ARMS)
    model = make_network(ARMS[0], "6 convolutions")
    assert Arm("nothing").clip(model) is None
    adaptive = Arm("adaptive", clipping="adaptive", limit=0.05).clip(model)
    assert isinstance(adaptive, AdaptiveGradientClipping)
    assert not [name for name in adaptive.parameters if name.startswith("classifier")]


@pytest.mark.parametrize("name", DATA)
def test_the_data_are_drawn_once(name):
    first, second = DATA[name](), DATA[name]()
    assert (first[0] == second[0]).all()
    assert first[0].shape == (1797, 1, 16, 16)
