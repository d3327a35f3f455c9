"""Numbers of the geometry where they are known beforehand: alike, unrelated, turned, tied, constant."""

from itertools import permutations

import numpy as np
import pytest

from lingualift_ds.evaluate.geometry.measures import closeness, linear_cka
from lingualift_ds.evaluate.geometry.projection import project


def cloud(rows: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, width))


def rotation(width: int, seed: int = 0) -> np.ndarray:
    return np.linalg.qr(cloud(width, width, seed))[0]


def test_the_same_vectors_are_found_and_alike():
    numbers = closeness(cloud(30, 8), cloud(30, 8))
    assert (numbers.to_english, numbers.from_english) == (1, 1)
    assert numbers.cosine_pairs == pytest.approx(1, abs=1e-12) and numbers.cka == pytest.approx(1, abs=1e-12)
    assert abs(numbers.cosine_others) < 0.1


def test_unrelated_directions_are_at_chance():
    width, rows = 64, 32
    basis = rotation(width)
    numbers = closeness(basis[:rows], basis[rows:])  # every cosine is 0: all are equally near
    assert numbers.to_english == numbers.from_english == pytest.approx(1 / rows)
    assert numbers.cosine_pairs == pytest.approx(0, abs=1e-12) and numbers.cosine_others == pytest.approx(0, abs=1e-12)
    # Gram matrices of an orthonormal set are the identity: CKA is 1 for any pairing, and its chance says so.
    assert numbers.cka == pytest.approx(1) and numbers.cka_chance == pytest.approx(1)


def test_random_vectors_are_near_chance():
    numbers = closeness(cloud(400, 6, seed=1), cloud(400, 6, seed=2))
    assert numbers.to_english < 0.02 and numbers.from_english < 0.02
    assert numbers.cka < 0.05 and numbers.cka == pytest.approx(numbers.cka_chance, abs=0.03)


def test_directions_of_retrieval_are_told_apart():
    english = np.eye(3)
    language = np.array([[1.0, 0, 0], [1, 0.2, 0], [0, 0, 1]])  # the second lies nearest to the first English one
    numbers = closeness(language, english)
    assert numbers.to_english == pytest.approx(2 / 3) and numbers.from_english == 1


def test_a_tie_counts_its_share():
    english = np.array([[1.0, 0], [1, 0], [0, 1]])
    numbers = closeness(np.array([[2.0, 0], [0, 3], [0, 5]]), english)
    # The first has two nearest, its own among them; the second's is another one; the third's is its own.
    assert numbers.to_english == pytest.approx((1 / 2 + 0 + 1) / 3)
    # English: found among one; not found; one of two.
    assert numbers.from_english == pytest.approx((1 + 0 + 1 / 2) / 3)


def test_cosines_of_pairs_and_others_are_means_over_just_those():
    language, english = cloud(5, 3, seed=3), cloud(5, 3, seed=4)
    cosine = [[a @ b / np.linalg.norm(a) / np.linalg.norm(b) for b in english] for a in language]
    numbers = closeness(language, english)
    assert numbers.cosine_pairs == pytest.approx(np.mean([cosine[n][n] for n in range(5)]))
    assert numbers.cosine_others == pytest.approx(np.mean([cosine[n][m] for n in range(5) for m in range(5) if n != m]))


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_cka_does_not_see_rotation_scale_and_shift(scale):
    one, other = cloud(40, 6), cloud(40, 9, seed=5)
    other[:, :6] += one
    expected = linear_cka(one, other)
    turned = linear_cka(scale * (one @ rotation(6)) + 3 * scale, other @ rotation(9) - 7)
    assert 0.3 < expected[0] < 0.99
    assert turned == pytest.approx(expected, rel=1e-9)


def test_chance_of_cka_is_the_mean_over_all_pairings():
    one, other = cloud(5, 3), cloud(5, 4, seed=6)
    every = [linear_cka(one, other[list(order)])[0] for order in permutations(range(5))]
    assert linear_cka(one, other)[1] == pytest.approx(np.mean(every))


def test_what_does_not_vary_has_no_cka_and_retrieval_at_chance():
    same = np.tile(cloud(1, 6) + 5, (12, 1))
    numbers = closeness(same, cloud(12, 6))
    assert numbers.cka is None and numbers.cka_chance is None
    assert numbers.from_english == pytest.approx(1 / 12)
    assert closeness(np.zeros((12, 6)), cloud(12, 6)).to_english == pytest.approx(1 / 12)


@pytest.mark.parametrize("shape", [(50, 7), (20, 300)])
def test_projection_is_the_svd_with_fixed_signs(shape):
    values = cloud(*shape) * np.linspace(4, 0.5, shape[1]) + 2
    found = project(values)
    centred = values - values.mean(0)
    left, strengths, right = np.linalg.svd(centred, full_matrices=False)
    for component in range(2):
        sign = np.sign(right[component][np.abs(right[component]).argmax()])
        expected = sign * left[:, component] * strengths[component]
        np.testing.assert_allclose(found.points[:, component], expected, atol=1e-9)
    np.testing.assert_allclose(found.variance, strengths[:2] ** 2 / (strengths**2).sum())
    np.testing.assert_array_equal(project(values).points, found.points)


def test_projection_of_a_line_and_of_a_point():
    line = project(np.outer(np.arange(12.0), [0, 3, -4]))
    # The coordinate that weighs most is the last: it grows along the component.
    np.testing.assert_allclose(line.points[:, 0], -5 * (np.arange(12) - 5.5), atol=1e-9)
    assert not line.points[:, 1].any() and line.variance == (pytest.approx(1), 0)
    point = project(np.full((12, 40), 0.1))
    assert not point.points.any() and point.variance == (0, 0)
