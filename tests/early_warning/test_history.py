import numpy as np
import pytest

from sppkit.early_warning.history import WINDOW, History, usual
from sppkit.early_warning.history import robust_z as z_of_usual


def robust_z(windows, values, **thresholds):
    return z_of_usual(usual(windows), values, **thresholds)


def filled(*values):
    history = History()
    for value in values:
        history.push(0, np.array([0]), np.array([value]), np.array([0.0]))
    return history.windows(np.array([0]))


def test_robust_deviations_are_those_of_the_definition():
    rng = np.random.default_rng(0)
    windows = rng.normal(size=(5, WINDOW))
    values = rng.normal(size=5) * 5
    found = robust_z(windows, values, floor=0.1, least=10)
    for window, value, z in zip(windows, values, found, strict=True):
        ordered = sorted(window)
        median = (ordered[14] + ordered[15]) / 2
        off = sorted(abs(x - median) for x in window)
        assert z == pytest.approx((value - median) / (1.4826 * (off[14] + off[15]) / 2))


def test_what_never_moved_is_compared_with_the_floor():
    assert robust_z(filled(*[2.0] * 12), np.array([2.3]), floor=0.1, least=10) == pytest.approx(3.0)


def test_a_short_window_says_nothing():
    assert np.isnan(robust_z(filled(*[2.0] * 9), np.array([9.0]), floor=0.1, least=10))[0]
    assert not np.isnan(robust_z(filled(*[2.0] * 10), np.array([9.0]), floor=0.1, least=10))[0]


def test_values_that_are_none_are_left_out_of_windows_and_have_no_deviation():
    window = filled(*[1.0, np.nan] * 10)
    z = robust_z(np.repeat(window, 2, axis=0), np.array([1.5, np.nan]), floor=0.1, least=10)
    assert z[0] == pytest.approx(5.0)
    assert np.isnan(z[1])


def test_a_window_holds_the_latest_thirty_with_the_newest_last():
    assert filled(*range(100))[0].tolist() == list(range(70, 100))


def test_the_first_value_stays():
    history = History()
    for moment, dead in ((0.5, 0.1), (0.7, 0.2)):
        history.push(0, np.array([3]), np.array([moment]), np.array([dead]))
    assert history.first(np.array([3, 1]), "second_moment")[0] == 0.5
    assert history.first(np.array([3]), "dead_channel_fraction")[0] == 0.1
    assert np.isnan(history.first(np.array([3, 1]), "second_moment")[1])


def test_a_history_comes_back_from_its_state():
    history = History()
    for value in range(40):
        history.push(value, np.array([0, 2]), np.array([value, -value]), np.array([0.0, 1.0]))
    again = History.of_state(history.state())
    numbers = np.array([0, 1, 2])
    np.testing.assert_array_equal(again.windows(numbers), history.windows(numbers))
    for name in ("second_moment", "dead_channel_fraction"):
        np.testing.assert_array_equal(again.first(numbers, name), history.first(numbers, name))
    due = [
        history.is_due(numbers, step, 10).tolist()
        for history in (history, again)
        for step in (48, 49)
    ]
    assert due == 2 * [[False, True, False], [True, True, True]]
    empty = History.of_state(History().state())
    assert empty.windows(np.array([0])).shape == (1, WINDOW)
