"""Intervals and paired tests for shares of right answers, with no more than arithmetic and seeded draws.

An array of answers is [questions, languages]: 1 right, 0 wrong, NaN where a language does not have the question.
Benchmarks that are parallel ask the same question in every language, so answers to it hang together: whatever is
drawn here draws a question with all its languages.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

ALPHA = 0.05
"""Below it, after Holm's correction, a difference is called significant; intervals are of 1 - ALPHA."""
DRAWS = 10_000
"""Of a permutation test; the bootstrap takes a fifth of them."""
_Z = 1.959963984540054
_BLOCK = 200
"""Draws at a time, which bounds the memory of floats."""


class Interval(NamedTuple):
    """From where to where, both ends included."""

    low: float
    high: float


def wilson(correct: float, n: float) -> Interval:
    """Wilson's (1927) 95 % interval of a share: `correct` of `n`. Never outside [0, 1], never without width."""
    share, spread = correct / n, _Z**2 / n
    centre = (share + spread / 2) / (1 + spread)
    half = _Z / (1 + spread) * math.sqrt(share * (1 - share) / n + spread / (4 * n))
    return Interval(max(centre - half, 0.0) if correct else 0.0, min(centre + half, 1.0) if correct < n else 1.0)


def mcnemar(lost: int, won: int) -> float:
    """The exact two-sided p-value of McNemar's test: `lost` answers turned wrong and `won` turned right."""
    n, fewer = lost + won, min(lost, won)
    term = total = 1  # binomial coefficients C(n, i), summed up to i = fewer
    for i in range(fewer):
        term = term * (n - i) // (i + 1)
        total += term
    return min(2 * total / 2**n, 1.0)


def paired_interval(lost: int, won: int, n: int) -> Interval:
    """Agresti and Min's (2005) 95 % interval of a difference of paired shares: half a row is added to each count."""
    lost, won, n = lost + 0.5, won + 0.5, n + 2
    delta = (won - lost) / n
    half = _Z * math.sqrt((lost + won) / n - delta**2) / math.sqrt(n)
    return Interval(max(delta - half, -1.0), min(delta + half, 1.0))


def holm(values: Sequence[float]) -> list[float]:
    """p-values after Holm's (1979) correction for their number, in the order given."""
    corrected, least = [0.0] * len(values), 0.0
    for rank, i in enumerate(sorted(range(len(values)), key=values.__getitem__)):
        least = max(least, min((len(values) - rank) * values[i], 1.0))
        corrected[i] = least
    return corrected


def mean_interval(answers: np.ndarray) -> Interval:
    """95 % interval of the mean over languages: bootstrap over questions, percentiles.

    Where every language is all right or all wrong, drawing shows nothing: then Wilson's, as of the questions alone.
    """
    mean, means = _mean(answers), _bootstrap(answers)
    if means.min() == means.max():
        return wilson(mean * len(answers), len(answers))
    return _percentiles(means)


def mean_difference_interval(before: np.ndarray, after: np.ndarray) -> Interval:
    """95 % interval of the difference of two means over languages, of the same questions [Q, L]: bootstrap."""
    return _percentiles(_bootstrap(after) - _bootstrap(before))  # the same seed: the same questions are drawn


def permutation(before: np.ndarray, after: np.ndarray) -> float:
    """The two-sided p-value of a difference of means over languages: a paired permutation test.

    Were there no difference, either model could have given either answers to a question. So the two are swapped
    for questions drawn at random, all languages of a question together.
    """
    counts = np.sum(~np.isnan(before), axis=0)
    differences = np.nansum((after - before) / counts, axis=1)
    differences = differences[differences != 0]
    observed = abs(differences.sum())
    generator, extreme = np.random.default_rng(0), 0
    for _ in range(DRAWS // _BLOCK):
        signs = generator.integers(0, 2, (_BLOCK, len(differences)), dtype=np.int8) * 2.0 - 1.0
        extreme += int(np.sum(np.abs(signs @ differences) >= observed - 1e-12))
    return (extreme + 1) / (DRAWS + 1)


def rank_correlation(x: Sequence[float], y: Sequence[float]) -> float | None:
    """Spearman's rank correlation; None below 4 pairs or where one side does not vary."""
    if len(x) < 4 or len(set(x)) == 1 or len(set(y)) == 1:
        return None
    return float(np.corrcoef(_ranks(x), _ranks(y))[0, 1])


def _mean(answers: np.ndarray) -> float:
    return float(np.nanmean(answers, axis=0).mean())


def _bootstrap(answers: np.ndarray) -> np.ndarray:
    """Means over languages of questions drawn with replacement, [draws]."""
    there = ~np.isnan(answers)
    right, there = np.nan_to_num(answers), there.astype(float)
    means, times = [], _drawn(len(answers))
    for start in range(0, len(times), _BLOCK):
        drawn = times[start : start + _BLOCK].astype(float)
        with np.errstate(invalid="ignore"):  # a language none of whose questions was drawn
            means.append(np.nanmean((drawn @ right) / (drawn @ there), axis=1))
    return np.concatenate(means)


@lru_cache(maxsize=1)
def _drawn(size: int) -> np.ndarray:
    """How often each question is in each sample of the bootstrap, [draws, size]: the same whenever it is asked."""
    generator, draws = np.random.default_rng(0), DRAWS // 5
    times = np.empty((draws, size), dtype=np.int16)
    for draw in range(draws):
        times[draw] = np.bincount(generator.integers(0, size, size), minlength=size)
    return times


def _percentiles(values: np.ndarray) -> Interval:
    low, high = np.percentile(values, [100 * ALPHA / 2, 100 * (1 - ALPHA / 2)])
    return Interval(float(low), float(high))


def _ranks(values: Sequence[float]) -> np.ndarray:
    """Ranks from 0, equal values at the mean of theirs."""
    _, inverse, counts = np.unique(np.asarray(values), return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts + 1) / 2)[inverse]
