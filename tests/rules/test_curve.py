"""Curves over seeds and places, their logarithms, medians and comparisons with thresholds."""

import math
from statistics import NormalDist

import numpy as np
import pandas as pd
import pytest

from sppkit.recording import Recording
from sppkit.rules.curve import Curve, compare, curve_of, logarithm, median, middle, place_name
from sppkit.rules.evidence import Evidence
from sppkit.rules.rows import Rows, joined
from tests.rules.frames import chain, recording

NAN = math.nan


def test_logarithms_are_cut_at_twelve_decades_and_undefined_ones_stay_so():
    values = np.array([0.0, 1e-13, 1e-12, 1e-11, 1.0, 1e11, 1e12, 1e13, np.inf, NAN])
    wanted = [-12, -12, -12, -11, 0, 11, 12, 12, 12, NAN]
    np.testing.assert_allclose(logarithm(values), wanted, rtol=1e-12)


def test_a_median_passes_over_what_is_undefined():
    values = np.array([[1.0, NAN, NAN], [5.0, 2.0, NAN], [2.0, 4.0, NAN]])
    np.testing.assert_array_equal(median(values, axis=0), [2.0, 3.0, NAN])
    np.testing.assert_array_equal(median(values, axis=1), [1.0, 3.5, 3.0])
    np.testing.assert_array_equal(median(values.T, axis=1), [2.0, 3.0, NAN])
    assert middle(values) == 2.0
    assert math.isnan(middle(values[:, 2]))


def test_the_typical_value_of_a_place_is_the_median_over_seeds_of_the_logarithm():
    curve = Curve(("a", "b"), np.array([[1.0, 0.0], [100.0, NAN], [10.0, 1e6], [1e3, 1e2]]))
    np.testing.assert_allclose(curve.typical, [1.5, 2.0])
    assert len(curve) == 2


# -- comparisons -----------------------------------------------------------------------------------


def test_the_margin_is_the_distance_to_the_threshold_in_standard_errors():
    seeds = np.array([1.0, 1.4, NAN, 1.2, 2.0])
    known = seeds[~np.isnan(seeds)]
    error = known.std(ddof=1) / math.sqrt(4)
    found = compare(seeds, 0.9)
    assert found.centre == pytest.approx(known.mean())
    assert found.margin == pytest.approx((known.mean() - 0.9) / error)
    assert found.exceeded
    below = compare(seeds, 0.9, below=True)
    assert below.margin == pytest.approx(-found.margin)
    assert not below.exceeded
    assert found.confidence == below.confidence == pytest.approx(NormalDist().cdf(found.margin))


def test_two_seeds_that_agree_and_one_alone_are_taken_to_vary_by_a_twentieth_of_a_decade():
    assert compare(np.array([1.1, 1.1]), 1.0).margin == pytest.approx(0.1 / (0.05 / math.sqrt(2)))
    assert compare(np.array([1.1]), 1.0).margin == pytest.approx(0.1 / 0.05)
    two = np.array([1.0, 1.2])  # of two the deviation is 0.1414
    assert compare(two, 1.0).margin == pytest.approx(0.1 / (0.02**0.5 / math.sqrt(2)))


def test_a_seed_far_from_the_threshold_is_cut_two_decades_from_it():
    assert compare(np.array([1.0, 1.0, 9.0]), 1.5).centre == pytest.approx((1 + 1 + 3.5) / 3)
    assert compare(np.array([1.0, 1.0, -9.0]), 1.5).centre == pytest.approx((1 + 1 - 0.5) / 3)


def test_of_no_known_seed_nothing_is_said():
    found = compare(np.array([NAN, NAN]), 1.0)
    assert math.isnan(found.centre)
    assert math.isnan(found.margin)
    assert not found.exceeded


def test_what_lies_at_the_threshold_does_not_exceed_it():
    assert not compare(np.array([1.0]), 1.0).exceeded


# -- rows ------------------------------------------------------------------------------------------


def rows_of(table):
    network = recording(chain(1))
    return Evidence.of(Recording.from_frames(table, network.structure(), network.metadata)).rows


def test_a_curve_lays_rows_out_by_seed_and_in_order_of_execution():
    table = recording(chain(3), seeds=2).table().query("signal == 'activation'")
    table = table.assign(second_moment=np.arange(1.0, 7.0))  # layer by layer, seed by seed
    shuffled = table.iloc[[5, 0, 2, 4, 1]]  # without the second seed of the second layer
    curve = curve_of(rows_of(shuffled), "second_moment")
    assert curve.layers == ("0", "1", "2")
    np.testing.assert_array_equal(curve.values, [[1.0, 3.0, 5.0], [2.0, NAN, 6.0]])
    doubled = curve_of(rows_of(shuffled), 2 * shuffled["second_moment"].to_numpy())
    np.testing.assert_array_equal(doubled.values, 2 * curve.values)


def test_layers_that_were_never_called_have_no_place():
    table = recording(chain(3)).table()
    never = table.assign(depth=table["depth"].where(table["layer"] != "1"))
    rows = rows_of(never).where(signal="activation")
    assert curve_of(rows, "second_moment").layers == ("0", "2")
    assert set(rows.where(layer="1")["place"]) == {-1}
    assert curve_of(rows.where(layer="1"), "second_moment").values.shape == (3, 0)


def test_places_are_told_apart_by_call_operation_and_tensor_and_sorted_by_execution():
    one = recording(chain(1), seeds=1).table().query("signal == 'activation'")
    places = [
        *({"depth": 0}, {"depth": 1}, {"depth": 1, "call": 1}, {"depth": 1, "call": 2}),
        *({"depth": 2, "layer": "b"}, {"depth": 2, "layer": "c"}),
        {"depth": 2, "layer": "c", "operation": "add#1"},
        {"depth": 2, "layer": "c", "operation": "add#1", "tensor": "0"},
        {"depth": 10, "layer": "a"},
    ]
    table = pd.concat([one.assign(**place) for place in reversed(places)])
    assert rows_of(table)["place"].tolist() == list(range(len(places)))[::-1]


def test_a_place_is_named_for_its_layer_or_at_the_root_for_its_operation():
    assert place_name("layer", "add#1") == "layer"
    assert place_name("", "add#1") == "add#1"


def test_rows_are_chosen_sorted_and_joined():
    network = recording(chain(3), seeds=2)
    rows = Evidence.of(network).rows
    chosen = rows.where(layer="1", signal="weight", seed=1)
    assert len(chosen) == 1
    assert len(rows.where(layer="1", signal="nothing")) == 0
    assert set(rows.among("layer", {"0", "2"})["layer"]) == {"0", "2"}
    activations = rows.where(signal="activation")
    ordered = activations.by("seed", "layer")
    assert list(zip(ordered["seed"], ordered["layer"], strict=True)) == [
        (seed, layer) for seed in (0, 1) for layer in ("0", "1", "2")
    ]
    both = joined((rows.where(signal="weight"), activations))
    assert list(dict.fromkeys(both["signal"])) == ["weight", "activation"]
    assert len(both) == 12


def test_the_first_row_is_asked_by_column():
    rows = Evidence.of(recording(chain(3), seeds=2)).rows.where(signal="activation")
    first = rows.by("seed").first()
    assert (first["layer"], first["seed"], first["second_moment"]) == ("0", 0, 2.0)


def test_seeds_are_counted_over_the_whole_table():
    table = recording(chain(2), seeds=3).table()
    rows = Rows.of(table)
    assert rows.seeds == rows.where(seed=1).seeds == 3
    assert Rows.of(table.iloc[:0]).seeds == 0


def test_integers_that_may_be_missing_are_floats_and_missing_text_is_empty():
    table = recording(chain(2), seeds=1).table()
    rows = Rows.of(table.assign(block=table["block"].where(table["layer"] != "0", 3)))
    assert rows.where(layer="0")["block"].tolist()[0] == 3.0
    assert np.isnan(rows.where(layer="1")["block"].astype(float)).all()
    text = Rows.of(table.assign(flags=table["flags"].where(table["layer"] != "0")))
    assert set(text.where(layer="0")["flags"]) == {""}
