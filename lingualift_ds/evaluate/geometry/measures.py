"""How close a language lies to English: retrieval, cosines, CKA. Everything in float64, exact and without sampling.

Shapes: N sentences, W width of the space; row n of two languages is the same sentence.
"""

from dataclasses import dataclass

import numpy as np

_TIE = 1e-6
"""Cosines nearer to each other than this are one: fp32 states do not tell them apart."""
_NOTHING = 1e-12
"""Share of the vectors' squared norm below which what varies between them is rounding."""


@dataclass(frozen=True)
class Closeness:
    """A language against English in one space.

    Attributes:
        to_english: share of its sentences whose nearest English sentence, by cosine, is their own; among k that are
            equally near a hit counts 1/k. Chance is 1/N.
        from_english: the same from English to the language.
        cosine_pairs: mean cosine of a sentence and its English one; cosine_others: of all that do not pair.
        cka: linear CKA, 1 where the two lie alike up to rotation and scale; None where a language does not vary.
        cka_chance: what CKA is on average over all ways of pairing. It is high where sentences are few for the width.
    """

    to_english: float
    from_english: float
    cosine_pairs: float
    cosine_others: float
    cka: float | None
    cka_chance: float | None


def closeness(language_NW: np.ndarray, english_NW: np.ndarray) -> Closeness:
    """The numbers of a language. At least two sentences, all values finite."""
    assert language_NW.shape == english_NW.shape and len(english_NW) > 1, "the same sentences, at least two"
    cosine_NN = _directions(language_NW) @ _directions(english_NW).T
    count, pairs = len(cosine_NN), float(np.trace(cosine_NN))
    cka, chance = linear_cka(language_NW, english_NW)
    return Closeness(
        to_english=_hits(cosine_NN),
        from_english=_hits(cosine_NN.T),
        cosine_pairs=pairs / count,
        cosine_others=(float(cosine_NN.sum()) - pairs) / (count * (count - 1)),
        cka=cka,
        cka_chance=chance,
    )


def linear_cka(one_NW: np.ndarray, other_NV: np.ndarray) -> tuple[float, float] | tuple[None, None]:
    """Linear CKA (Kornblith et al. 2019), and its mean over all N! pairings; (None, None) where either is constant.

    Of centred Gram matrices K and L it is <K, L> / (|K| |L|). Over all pairings <K, L> is tr K tr L / (N - 1) on
    average, because the rows of both sum to zero.
    """
    grams = [_centred_gram(values) for values in (one_NW, other_NV)]
    if grams[0] is None or grams[1] is None:
        return None, None
    one, other = grams
    norms = float(np.linalg.norm(one) * np.linalg.norm(other))
    chance = float(np.trace(one) * np.trace(other)) / (len(one) - 1)
    return float((one * other).sum()) / norms, chance / norms


def _centred_gram(values_NW: np.ndarray) -> np.ndarray | None:
    """Inner products [N, N] of the rows without their mean, at the scale of 1; None where the rows are all the same."""
    scale = np.abs(values_NW).max()
    if not scale:
        return None
    scaled = np.asarray(values_NW, np.float64) / scale
    centred = scaled - scaled.mean(axis=0)
    return centred @ centred.T if (centred**2).sum() > _NOTHING * (scaled**2).sum() else None


def _directions(values_NW: np.ndarray) -> np.ndarray:
    """Rows of length 1; a row of zeros stays one: its cosines are 0."""
    values = np.asarray(values_NW, np.float64)
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    return np.divide(values, lengths, out=np.zeros_like(values), where=lengths > 0)


def _hits(cosine_NN: np.ndarray) -> float:
    nearest = cosine_NN >= cosine_NN.max(axis=1, keepdims=True) - _TIE
    return float((np.diagonal(nearest) / nearest.sum(axis=1)).mean())
