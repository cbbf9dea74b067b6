import json

import pytest

from sppkit.early_warning.watch import Watch
from tests.early_warning.conftest import block, row, show


def infinite(*steps, until=60):
    """A network with infinities in some of its steps."""
    return [[row(nonfinite_fraction=float(10 * number in steps))] for number in range(until // 10)]


def test_a_fault_of_many_layers_is_one_event_that_counts_them(watch):
    rows = [row(f"layer{i}", depth=9 - i, nonfinite_fraction=1.0) for i in range(9)]
    (event,) = show(watch("SPP610"), [rows])
    assert event.layer == "layer8"  # the least depth
    assert (event.evidence["affected"], event.evidence["looked_at"]) == (9, 9)


def test_a_fault_that_lasts_is_told_once():
    told = show(Watch(select=["SPP610"]), infinite(*range(0, 500, 10), until=500))
    assert [event.step for event in told] == [0]


@pytest.mark.parametrize(("again", "told"), [(100, [0]), (110, [0, 110])])
def test_a_fault_that_comes_back_is_told_after_the_cool_down(again, told):
    events = show(Watch(select=["SPP610"]), infinite(0, again, until=200))
    assert [event.step for event in events] == told


def test_a_warning_that_becomes_an_error_is_told_again(watch):
    growing = [1.0] * 20 + [20.0] * 5 + [2e4] * 5
    events = show(watch("SPP602"), [[row(second_moment=moment)] for moment in growing])
    assert [(event.step, str(event.severity)) for event in events] == [
        (220, "warning"),
        (250, "error"),
    ]


def test_evaluations_are_passed_over(watch):
    evaluation = row(nonfinite_fraction=1.0, phase="eval")
    passing = watch("SPP610")
    assert show(passing, [[evaluation]]) == []
    assert "SPP610" in passing.not_measured
    (event,) = show(passing, [[evaluation, row("other", nonfinite_fraction=1.0)]])
    assert event.layer == "other"


def test_rows_are_followed_by_name_whatever_their_order(watch):
    one, other = row("a", second_moment=1.0), row("b", second_moment=100.0)
    steps = [[one, other] if number % 2 else [other, one] for number in range(40)]
    assert show(watch("SPP602"), steps) == []


def test_calls_tensors_and_ranks_of_one_layer_are_series_of_their_own(watch):
    rows = [
        [row(call=call, tensor=tensor, second_moment=10.0**power)]
        for power, (call, tensor) in enumerate([(1, "0"), (2, "0"), (1, "1")])
    ]
    steps = [[each for group in rows for each in group]] * 40
    assert show(watch("SPP602"), steps) == []
    ranks = watch("SPP602")
    for step in range(40):
        for rank in (0, 1):
            columns = block(step, row(second_moment=100.0**rank)) | {"rank": rank}
            assert ranks.look(columns, {}) == []


def test_a_watch_goes_on_from_its_state_as_if_nothing_had_been(watch):
    moments = [1.0 + 0.1 * (n % 4) for n in range(25)] + [9.0] * 9 + [1.0] * 20 + [9.0] * 5
    steps = [[row(second_moment=m), row(signal="gradient", second_moment=m)] for m in moments]
    whole = [(e.step, e.code) for e in show(Watch(), steps)]
    assert whole
    for cut in (1, 12, 26, 27, 30, 50):
        first, second = Watch(), Watch()
        events = show(first, steps[:cut])
        second.restore(json.loads(json.dumps(first.state())))  # nothing but lists and numbers
        for number, rows in enumerate(steps[cut:], start=cut):
            events += second.look(block(10 * number, *rows), {})
        assert [(e.step, e.code) for e in events] == whole


def test_what_was_not_measured_is_said():
    watch = Watch()
    show(watch, [[row()]])
    assert sorted(watch.not_measured) == ["SPP601", "SPP603", "SPP604", "SPP605", "SPP606"]
    assert "signals=[..., 'gradient']" in watch.not_measured["SPP603"]


def test_rules_are_selected_and_their_thresholds_set():
    assert [rule.code for rule in Watch(ignore=["SPP60"]).rules] == ["SPP610"]
    (rule,) = Watch(["SPP601"], thresholds={"SPP601": {"z": 9}}).rules
    assert rule.thresholds["z"] == 9
    with pytest.raises(ValueError, match=r"'SPP701' is no code of a rule"):
        Watch(["SPP701"])
    with pytest.raises(ValueError, match=r"SPP601 .* has no threshold 'zz'; it has: patience"):
        Watch(thresholds={"SPP601": {"zz": 9}})
    with pytest.raises(ValueError, match="cool_down=-1 must be 0 steps or more"):
        Watch(cool_down=-1)


def test_what_is_recorded_more_often_is_looked_at_one_step_in_ten(watch):
    jump = [1.0] * 200 + [20.0] * 100
    one, ten = (
        [
            (event.step, event.evidence["measured"])
            for number, moment in enumerate(jump)
            if number % every == 0
            for event in watching.look(block(number, row(second_moment=moment)), {})
        ]
        for every, watching in ((1, watch("SPP602")), (10, watch("SPP602")))
    )
    assert one == ten == [(220, pytest.approx(20.0))]


def test_overflows_are_looked_for_in_every_recorded_step():
    overflowing = Watch()
    overflowing.look(block(0, row()), {})
    (event,) = overflowing.look(block(3, row(nonfinite_fraction=0.5)), {})
    assert (event.code, event.step) == ("SPP610", 3)


def test_layers_that_take_turns_are_each_looked_at_when_they_come(watch):
    turns, events = watch("SPP602"), []
    for number in range(400):
        name = f"layer{number % 4}"
        events += turns.look(
            block(number, row(name, second_moment=1.0 + 19.0 * (number > 300))), {}
        )
    (event,) = events
    assert 300 < event.step < 340


def test_spacing_is_a_step_or_more():
    with pytest.raises(ValueError, match="spacing=0 must be 1 step or more"):
        Watch(spacing=0)
