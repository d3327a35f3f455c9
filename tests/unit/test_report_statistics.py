"""The report's intervals and tests: known values, exact counts, and what parallel questions change."""

import itertools
import math
import random

import numpy as np
import pytest

from lingualift_ds.evaluate.report import statistics
from lingualift_ds.evaluate.report.statistics import (
    holm,
    mcnemar,
    mean_difference_interval,
    mean_interval,
    paired_interval,
    permutation,
    rank_correlation,
    wilson,
)


def test_wilson_has_the_known_values_and_never_leaves_0_to_1():
    assert wilson(8, 10) == pytest.approx((0.4902, 0.9433), abs=5e-5)
    assert wilson(0, 10) == pytest.approx((0, 0.2775), abs=5e-5)
    assert wilson(250, 250) == pytest.approx((0.9849, 1), abs=5e-5)
    assert wilson(0, 1).low == 0 and wilson(1, 1).high == 1


@pytest.mark.parametrize("lost, won, p", [(1, 9, 22 / 1024), (0, 5, 2 / 32), (3, 3, 1.0), (0, 0, 1.0), (0, 1, 1.0)])
def test_mcnemar_is_the_exact_binomial_test(lost, won, p):
    assert mcnemar(lost, won) == mcnemar(won, lost) == pytest.approx(p, rel=1e-12)


def test_mcnemar_stays_exact_where_floats_would_overflow():
    n, fewer = 4000, 1900
    expected = 2 * sum(math.comb(n, i) for i in range(fewer + 1)) / 2**n
    assert mcnemar(fewer, n - fewer) == pytest.approx(expected, rel=1e-12)
    assert 0 < mcnemar(0, 900) < 1e-200


def test_holm_multiplies_by_how_many_are_left_and_keeps_the_order():
    assert holm([0.01, 0.04, 0.03, 0.5]) == pytest.approx([0.04, 0.09, 0.09, 0.5])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


def test_paired_interval_has_width_without_any_change_and_holds_the_difference():
    low, high = paired_interval(0, 0, 100)
    assert low < 0 < high < 0.05
    low, high = paired_interval(10, 40, 100)
    assert low < 0.3 < high and low > 0.15


def test_permutation_agrees_with_all_swaps_of_few_questions():
    before = np.array([[0, 1], [0, 0], [1, 0], [0, 0], [0, 1], [1, 1], [0, 0], [0, 0]], float)
    after = np.array([[1, 1], [1, 0], [1, 1], [1, 1], [0, 0], [1, 1], [1, 0], [0, 0]], float)
    differences = (after - before).sum(axis=1)
    swaps = [abs(np.dot(signs, differences)) for signs in itertools.product((-1, 1), repeat=len(differences))]
    exact = np.mean([swap >= abs(differences.sum()) for swap in swaps])
    assert permutation(before, after) == pytest.approx(exact, abs=0.02)  # 10,000 draws: 4 standard errors
    assert permutation(before, before) == 1.0
    assert permutation(before, after) == permutation(before, after) == permutation(after, before)


def test_questions_that_hang_together_over_languages_widen_the_interval_of_a_mean():
    draw = random.Random(0)
    shared = np.array([[float(draw.random() < 0.5)] * 10 for _ in range(100)])
    apart = np.array([[float(draw.random() < 0.5) for _ in range(10)] for _ in range(100)])
    wide, narrow = mean_interval(shared), mean_interval(apart)
    assert 2 < (wide.high - wide.low) / (narrow.high - narrow.low) < 5  # sqrt(10), if all is right
    assert wide == pytest.approx(wilson(shared[:, 0].sum(), 100), abs=0.02)


def test_languages_with_other_questions_have_a_mean_too():
    answers = np.full((30, 2), np.nan)
    answers[:10, 0], answers[10:, 1] = [1.0] * 5 + [0.0] * 5, [1.0] * 4 + [0.0] * 16
    low, high = mean_interval(answers)
    assert low < (0.5 + 0.2) / 2 < high
    one = np.full((2, 2), np.nan)
    one[0, 0], one[1, 1] = 1.0, 0.0
    assert not any(math.isnan(end) for end in mean_interval(one))


def test_a_mean_of_nothing_right_is_not_said_to_be_certain():
    low, high = mean_interval(np.zeros((250, 3)))
    assert low == 0 and high == pytest.approx(wilson(0, 250).high)


def test_differences_of_means_are_of_the_same_draws():
    draw = random.Random(1)
    before = np.array([[float(draw.random() < 0.5) for _ in range(3)] for _ in range(200)])
    assert mean_difference_interval(before, before) == (0, 0)
    after = before.copy()
    after[:20] = 1.0
    low, high = mean_difference_interval(before, after)
    assert 0 < low < float((after - before).mean()) < high < 0.12


def test_rank_correlation_gives_equal_values_their_mean_rank():
    assert rank_correlation([1, 2, 3, 4], [10, 20, 30, 40]) == pytest.approx(1)
    assert rank_correlation([1, 2, 2, 4], [4, 2, 2, 1]) == pytest.approx(-1)
    assert rank_correlation([1, 2, 3, 4], [1, 3, 2, 4]) == pytest.approx(0.8)
    assert rank_correlation([1, 1, 1, 1], [1, 2, 3, 4]) is None
    assert rank_correlation([1, 2, 3], [1, 2, 3]) is None


def test_draws_are_cut_into_whole_blocks():
    assert statistics.DRAWS % statistics._BLOCK == 0 and (statistics.DRAWS // 5) % statistics._BLOCK == 0
