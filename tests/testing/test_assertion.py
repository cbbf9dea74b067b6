import re

import pytest
import torch
from PIL import Image
from torch import nn

import sppkit
from sppkit.errors import ProbeError
from sppkit.testing import assert_variance_preserving
from tests.testing.networks import WIDTH, exploding, healthy

FAST = {"input_size": (WIDTH,), "seeds": 2, "maximum_seeds": 2}


def failing(model, **options):
    with pytest.raises(AssertionError) as caught:
        assert_variance_preserving(model, **FAST, **options)
    return str(caught.value)


def test_a_healthy_network_passes_and_gives_its_diagnosis():
    assert assert_variance_preserving(healthy, **FAST).verdict == "pass"


def test_a_failure_names_offender_worst_layers_value_and_advice():
    lines = failing(exploding).splitlines()
    assert lines[0] == "exploding does not preserve its signal (2 seeds)."
    assert lines[1].startswith("First offender: ")
    assert re.match(r"  .*: [\d.e+]+, expected ", lines[2])
    assert lines[3] == "Worst layers (second moment over that of the first):"
    ratios = [float(line.split(": ")[1]) for line in lines[4:7]]
    assert ratios == sorted(ratios, reverse=True)
    # 16 in each of the eleven layers behind the first, within the spread of narrow layers
    assert 0.1 < ratios[0] / 16.0**11 < 10
    assert lines[7].startswith("Advice: ")
    assert len(lines) == 8


def test_a_plot_of_the_failure_is_written_where_it_is_asked_for(tmp_path):
    path = tmp_path / "a.png"
    assert failing(exploding, plot=path).splitlines()[-1] == f"Plot: {path}"
    with Image.open(path) as picture:
        assert picture.info["Software"] == f"sppkit {sppkit.__version__}"


def test_nothing_is_written_where_all_is_well(tmp_path):
    assert_variance_preserving(healthy, **FAST, plot=tmp_path / "a.png")
    assert not list(tmp_path.iterdir())


def test_a_band_holds_the_statistic_itself():
    keeping = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    for layer in keeping:
        nn.init.eye_(layer.weight)
        nn.init.zeros_(layer.bias)
    only_signal = {"input_size": (4,), "seeds": 2, "select": ("SPP101",)}
    assert_variance_preserving(keeping, band=(0.99, 1.01), **only_signal)
    with torch.no_grad():
        keeping[1].weight.mul_(3)
    with pytest.raises(AssertionError) as caught:
        assert_variance_preserving(keeping, band=(0.2, 5), **only_signal)
    lines = str(caught.value).splitlines()
    assert lines[1] == "Worst layers (second moment over that of the first, permitted 0.2..5):"
    assert lines[2] == "  1: 9"
    assert lines[-1].startswith("Advice: see in the plot")
    assert_variance_preserving(keeping, band=(0.2, 9.1), **only_signal)


def test_a_network_in_which_nothing_is_seen_is_no_success():
    class Decision(nn.Module):
        def forward(self, x):
            return x > 0

    assert "No activation was read, so there is nothing to judge." in failing(Decision)


def test_a_network_that_does_not_run_is_an_error_of_its_own():
    with pytest.raises(ProbeError, match="mat1 and mat2"):
        assert_variance_preserving(lambda: nn.Linear(3, 3), input_size=(4,))


@pytest.mark.parametrize("band", [(2, 3), (1,), (0, 2), (0.5, 0.9)])
def test_a_band_that_holds_no_one_is_refused(band):
    with pytest.raises(ValueError, match="around one"):
        assert_variance_preserving(healthy, band=band, **FAST)


def test_a_statistic_that_is_no_column_is_refused():
    with pytest.raises(ValueError, match="'variances' is no column"):
        assert_variance_preserving(healthy, band=(0.1, 10), statistic="variances", **FAST)
