"""Whether what a rule makes of a cohort hangs on no tie and on no last digit, rule by rule."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tests.laws.subjects import is_clear_cut
from tests.naive.aggregators import median
from tests.naive.angles import cosine, cosine_distances, majority, uniqueness
from tests.naive.kernels import norms, squared_distance
from tests.naive.signs import (
    clusters,
    distances_and_bound,
    largest,
    lasa_figures,
    sign_shares,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.laws.subjects import Cohort


def fltrust(cohort: Cohort) -> bool:
    """Somebody is clearly trusted, so that the sum of the trust has all its digits."""
    trusted = cohort.trusted.tolist()
    return sum(max(cosine(row, trusted), 0.0) for row in cohort.values.tolist()) > 0.5


def foolsgold(cohort: Cohort) -> bool:
    """Everybody has a double, or somebody clearly differs: α / max α has its digits."""
    alphas = uniqueness(cohort.values.tolist())
    return max(alphas) < 1e-12 or (
        max(alphas) > 0.05 and not any(1e-12 < alpha < 1e-6 for alpha in alphas)
    )


def monna(cohort: Cohort) -> bool:
    """The last of the nearest and the first of the others differ by more than rounding."""
    rows, trusted = cohort.values.tolist(), cohort.trusted.tolist()
    distances = [squared_distance(row, trusted) for row in rows]
    return not cohort.byzantine or is_clear_cut(distances, len(rows) - cohort.byzantine, rows)


def flame(cohort: Cohort) -> bool:
    """The majority stays the same where every distance moves a little."""
    rows, rng = cohort.values.tolist(), np.random.default_rng(0)
    distances = np.array(cosine_distances(rows))
    found = set()
    for size in (0.0, *[1e-6] * 5):
        moved = distances + size * rng.uniform(-1.0, 1.0, distances.shape)
        found.add(tuple(majority(np.minimum(moved, moved.T).tolist())))
    return len(found) == 1


def signguard(cohort: Cohort) -> bool:
    """No length lies on a bound; one cluster is the largest, also where shares move a little."""
    rows = cohort.values.tolist()
    lengths = norms(rows)
    limit = median([[length] for length in lengths])[0]
    bounds = (0.1 * limit, 3.0 * limit)
    if any(abs(length - bound) <= 1e-6 * limit for length in lengths for bound in bounds):
        return False
    shares = np.array(sign_shares(rows, 0.1, np.random.default_rng(0)))
    rng, found = np.random.default_rng(0), set()
    for size in (0.0, *[1e-7] * 5):
        labels = clusters((shares + size * rng.uniform(-1.0, 1.0, shares.shape)).tolist())
        counts = sorted((labels.count(label) for label in set(labels) - {-1}), reverse=True)
        if len(counts) > 1 and counts[0] == counts[1]:
            return False
        found.add(tuple(largest(labels)))
    return len(found) == 1


def lasa(cohort: Cohort) -> bool:
    """Nobody lies beside a bound; just on it, as halves of two signs do, belongs to it."""
    lengths, purities = lasa_figures(cohort.values.tolist(), [range(cohort.values.shape[1])], 0.3)
    for figures, radius in ((lengths[0], 2.0), (purities[0], 1.0)):
        for away, bound in distances_and_bound(figures, radius):
            if 1e-14 < abs(away - bound) < 1e-6:
                return False
    return True


CLEAR: dict[str, Callable[[Cohort], bool]] = {
    "flame": flame,
    "fltrust": fltrust,
    "foolsgold": foolsgold,
    "lasa": lasa,
    "monna": monna,
    "signguard": signguard,
}
