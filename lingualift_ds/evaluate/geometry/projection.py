"""The two directions in which sentences vary most: principal components, the same in every run."""

from dataclasses import dataclass

import numpy as np

_NOTHING = 1e-12
"""Share of all squared lengths below which what varies along a component is rounding."""


@dataclass(frozen=True)
class Projection:
    """Points [M, 2] on the first two principal components, and the share of all variance that each holds."""

    points: np.ndarray
    variance: tuple[float, float]


def project(values_MW: np.ndarray) -> Projection:
    """The first two principal components of M points, in float64 and without random numbers.

    A component's sign is free: taken is the one in which the coordinate that weighs most is positive, the first of
    those that weigh the same. A component that does not exist (points all the same, or on a line) is zero.
    """
    values = np.asarray(values_MW, np.float64)
    centred = values - values.mean(axis=0)
    wide = centred.shape[0] < centred.shape[1]
    # The singular vectors of the points are the eigenvectors of the smaller of their two Gram matrices.
    strengths, vectors = np.linalg.eigh(centred @ centred.T if wide else centred.T @ centred)
    total, least = strengths.sum(), _NOTHING * (values**2).sum()
    points, shares = np.zeros((len(values), 2)), [0.0, 0.0]
    for component in range(min(2, len(strengths))):
        strength, vector = strengths[-1 - component], vectors[:, -1 - component]
        if strength <= least:
            break
        direction = centred.T @ vector / np.sqrt(strength) if wide else vector
        # Rounded, so that of two that weigh the same the first decides everywhere.
        heaviest = np.argmax(np.round(np.abs(direction), 9))
        points[:, component] = centred @ direction * np.sign(direction[heaviest])
        shares[component] = float(strength / total)
    return Projection(points, (shares[0], shares[1]))
