"""The machinery of ratios, on a clock that passes as told."""

from contextlib import contextmanager

import pytest

from benchmarks.clocks import Reading
from benchmarks.pairs import Effort, Pair, Side, Timing, is_known, time_pairs
from benchmarks.spread import spread_of


class FakeClock:
    """Shows what steps have let pass; wall time runs twice as fast."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return Reading(self.now, 2 * self.now)

    def step_of(self, seconds):
        durations = iter(seconds)

        def step():
            self.now += next(durations)

        return step


def constantly(value):
    while True:
        yield value


def test_a_known_ratio_comes_out():
    clock = FakeClock()
    plain = Side(clock.step_of(constantly(0.25)), clock)
    other = Side(clock.step_of(constantly(0.5)), clock)
    timing = time_pairs(plain, other, Effort(pairs=7), clock)
    assert timing.processor_ratio == (2.0, 2.0, 2.0, 2.0, 2.0)
    assert timing.wall_ratio == timing.processor_ratio
    assert timing.plain_step == Reading(0.25, 0.5)
    assert len(timing.pairs) == 7


def test_median_and_interval_of_known_ratios_come_out():
    ratios = [1.5, 1.0, 1.125, 1.25, 1.375, 1.75, 1.625]
    clock = FakeClock()
    plain = Side(clock.step_of(constantly(1.0)), clock)
    effort = Effort(pairs=7, seconds=1e9, resolution=10.0, settling=0)
    timing = time_pairs(plain, Side(clock.step_of(ratios), clock), effort, clock)
    assert timing.processor_ratio == (1.375, 1.0, 1.75, 1.0, 1.75)


def test_sides_take_turns_with_untimed_steps_first():
    order, clock = [], FakeClock()

    def step(name, seconds):
        def take():
            order.append(name)
            clock.now += seconds

        return take

    plain, other = Side(step("A", 1.0), clock), Side(step("B", 2.0), clock)
    effort = Effort(pairs=2, seconds=1e9, resolution=float("inf"), settling=1)
    timing = Timing(3, tuple(Pair(plain(1, 3), other(1, 3)) for _ in range(effort.pairs)))
    assert "".join(order) == "AAAABBBBAAAABBBB"
    assert timing.pairs == (Pair(Reading(3.0, 6.0), Reading(6.0, 12.0)),) * 2
    assert timing.plain_step == Reading(1.0, 2.0)


def test_what_is_around_a_turn_and_what_settles_it_is_not_timed():
    clock = FakeClock()

    @contextmanager
    def around():
        clock.now += 100
        yield
        clock.now += 100

    side = Side(clock.step_of([10.0, 1.0, 1.0]), clock, around)
    assert side(1, 2) == Reading(2.0, 4.0)


def test_pairs_are_added_until_the_median_is_known():
    ratios = [1.0, 1.5] * 4 + [1.25] * 1000
    clock = FakeClock()
    plain = Side(clock.step_of(constantly(1.0)), clock)
    effort = Effort(pairs=6, seconds=1e9, settling=0)
    timing = time_pairs(plain, Side(clock.step_of(ratios), clock), effort, clock)
    sizes = range(6, len(timing.pairs) + 1)
    known = [is_known(spread_of(ratios[:size]), 0.01) for size in sizes]
    assert known == [False] * (len(known) - 1) + [True]
    assert timing.processor_ratio.median == 1.25


def test_no_pair_begins_when_the_time_is_over():
    clock = FakeClock()
    plain = Side(clock.step_of(constantly(1.0)), clock)
    other = Side(clock.step_of(constantly(1.5)), clock)
    effort = Effort(pairs=1000, seconds=24.0, settling=0)
    timing = time_pairs(plain, other, effort, clock)  # 5 s of the wall each
    assert len(timing.pairs) == 5


@pytest.mark.parametrize(
    ("ratio", "resolution", "known"),
    [
        ((1.0, 0.99, 1.01, 0.5, 2.0), 0.0101, True),
        ((1.0, 0.98, 1.01, 0.5, 2.0), 0.0101, False),
        ((3.0, 2.91, 3.09, 0.5, 4.0), 0.01, True),  # a twentieth of the overhead is 0.1
        ((1.0, float("nan"), float("nan"), 1.0, 1.0), 1e9, False),
    ],
)
def test_small_overheads_are_to_be_known_to_the_resolution_and_large_ones_to_a_share(
    ratio, resolution, known
):
    spread = type(spread_of([1.0]))(*ratio)
    assert is_known(spread, resolution) is known


def test_a_device_is_judged_by_wall_time():
    clock = FakeClock()
    walls = iter([1.0, 1.0, 1.0, 2.0] * 1000)

    def turn(settling, steps):
        return Reading(1.0, next(walls))

    effort = Effort(pairs=6, seconds=40.0)
    by_processor = time_pairs(turn, turn, effort, clock)
    assert len(by_processor.pairs) == 6
    ticking = iter(range(10**6))
    by_wall = time_pairs(
        turn, turn, effort, lambda: Reading(0.0, float(next(ticking))), by_wall=True
    )
    assert len(by_wall.pairs) == 41
