import math
import random
import statistics

import pytest
from scipy.stats import binom

from benchmarks.spread import Spread, spread_of


def test_median_and_extremes_are_those_of_the_values():
    values = [5.0, 1.0, 9.0, 2.0]
    spread = spread_of(values)
    assert spread.median == statistics.median(values) == 3.5
    assert (spread.minimum, spread.maximum) == (1.0, 9.0)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_fewer_than_six_values_have_no_interval(count):
    spread = spread_of([1.0] * count)
    assert math.isnan(spread.low)
    assert math.isnan(spread.high)
    assert math.isnan(spread.uncertainty)


@pytest.mark.parametrize("count", [6, 7, 9, 15, 16, 40, 101, 500])
def test_the_interval_has_the_ranks_of_the_binomial_distribution(count):
    spread = spread_of([float(rank) for rank in range(1, count + 1)])
    rank = int(binom.ppf(0.025, count, 0.5))
    rank = rank if binom.cdf(rank - 1, count, 0.5) <= 0.025 else rank - 1
    assert (spread.low, spread.high) == (rank, count + 1 - rank)
    assert binom.cdf(rank - 1, count, 0.5) <= 0.025 < binom.cdf(rank, count, 0.5)


def test_the_interval_holds_the_true_median_of_a_skewed_distribution_in_95_percent_of_all_cases():
    generator, held, trials = random.Random(0), 0, 4000
    for _ in range(trials):
        spread = spread_of([generator.expovariate(1.0) for _ in range(25)])
        held += spread.low <= math.log(2) <= spread.high
    exact = 1 - 2 * binom.cdf(7, 25, 0.5)  # 0.957: the ranks are whole numbers
    assert held / trials == pytest.approx(exact, abs=4 * math.sqrt(0.05 * 0.95 / trials))


def test_uncertainty_is_the_farther_end_of_the_interval():
    assert Spread(1.0, 0.99, 1.03, 0.9, 1.2).uncertainty == pytest.approx(0.03)
