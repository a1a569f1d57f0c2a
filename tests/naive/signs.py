"""Rules that count signs, word for word from their papers."""

from __future__ import annotations

from math import ceil, dist, hypot
from statistics import pstdev
from typing import TYPE_CHECKING

from tests.naive.aggregators import mean, median
from tests.naive.kernels import Rows, average, columns, norms
from tests.naive.preaggregators import clip

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy as np

    from quickthorn.strategies import ModelLayout


def rlr(rows: Rows, *, byzantine: int, threshold: int | None = None) -> list[float]:
    """Average each coordinate; turn the mean round where fewer than θ signs are left over."""
    least = byzantine + 1 if threshold is None else threshold
    return [
        average(column) if abs(sum(signs(column))) >= least else -average(column)
        for column in columns(rows)
    ]


def signs(numbers: Iterable[float]) -> list[int]:
    """Return −1, 0 or 1 for each number."""
    return [(x > 0) - (x < 0) for x in numbers]


def signguard(
    rows: Rows,
    *,
    rng: np.random.Generator,
    lower: float = 0.1,
    upper: float = 3.0,
    share: float = 0.1,
) -> list[float]:
    """Average the rows of usual length in the largest cluster, cut to the median norm."""
    lengths = norms(rows)
    limit = median([[length] for length in lengths])[0]
    usual = [i for i, x in enumerate(lengths) if lower * limit <= x <= upper * limit]
    alike = largest(clusters(sign_shares(rows, share, rng)))
    kept = [i for i in usual if i in alike] or usual or list(range(len(rows)))
    cut = clip(rows, radius="median")
    return mean([cut[i] for i in kept])


def lasa(
    rows: Rows,
    *,
    layout: ModelLayout | None,
    sparsity: float = 0.3,
    norm_radius: float = 2.0,
    sign_radius: float = 1.0,
) -> list[float]:
    """Clip, sparsify, and average each layer over who is usual there, or over everybody."""
    layers = [range(len(rows[0]))]
    if layout is not None:
        layers = [range(t.offset, t.offset + t.size) for t in layout.weights]
    cut = clip(rows, radius="median")
    vector: list[float] = []
    for layer, lengths, purities in zip(layers, *lasa_figures(rows, layers, sparsity), strict=True):
        pairs = zip(
            distances_and_bound(lengths, norm_radius),
            distances_and_bound(purities, sign_radius),
            strict=True,
        )
        kept = [
            i for i, both in enumerate(pairs) if all(away <= bound + 1e-12 for away, bound in both)
        ]
        vector += mean([[cut[i][k] for k in layer] for i in kept or range(len(rows))])
    return vector


def lasa_figures(
    rows: Rows, layers: Sequence[range], sparsity: float
) -> tuple[list[list[float]], list[list[float]]]:
    """Return per layer each row's length, in those of the longest, and purity, once sparsified."""
    largest_of_all = max(abs(x) for row in rows for x in row) or 1.0
    sparse = []
    for row in rows:
        last = sorted((abs(x) for x in row), reverse=True)[len(row) - int(sparsity * len(row)) - 1]
        sparse.append([x / largest_of_all if abs(x) >= last else 0.0 for x in row])
    sizes, purities = [], []
    for layer in layers:
        lengths = [hypot(*(row[k] for k in layer)) for row in sparse]
        sizes.append([length / (max(lengths) or 1.0) for length in lengths])
        found = [[sign for sign in signs(row[k] for k in layer) if sign] for row in sparse]
        purities.append([0.5 * (1.0 + sum(one) / (len(one) or 1)) for one in found])
    return sizes, purities


def distances_and_bound(figures: list[float], radius: float) -> list[tuple[float, float]]:
    """Return how far each figure lies from the median, and λ standard deviations."""
    middle = median([[x] for x in figures])[0]
    return [(abs(x - middle), radius * pstdev(figures)) for x in figures]


def sign_shares(rows: Rows, share: float, rng: np.random.Generator) -> Rows:
    """Count positive, zero and negative numbers in coordinates drawn by lot."""
    drawn: list[int] = []
    for start in range(0, len(rows[0]), 32768):
        width = min(32768, len(rows[0]) - start)
        drawn += [start + int(k) for k in rng.choice(width, ceil(share * width), replace=False)]
    shares = []
    for row in rows:
        found = signs(row[k] for k in drawn)
        shares.append([found.count(sign) / len(drawn) for sign in (1, 0, -1)])
    return shares


def clusters(points: Rows) -> list[int]:
    """Climb from each point to the mean of its surroundings; number who climbs together."""
    count = min(max(len(points) // 2, 2), len(points))
    reach = [sorted(dist(one, other) for other in points)[count - 1] for one in points]
    return shifted(points, sum(reach) / len(reach) + 1e-9)


def shifted(points: Rows, width: float) -> list[int]:
    """Return the cluster of each point of a mean shift of that width, −1 for none."""
    tops = []
    for point in points:
        center, around, step = point, [point], width
        while step > 1e-3 * width:
            around = [other for other in points if dist(other, center) <= width]
            moved = [sum(column) / len(around) for column in columns(around)]
            step, center = dist(moved, center), moved
        tops.append((len(around), center))
    peaks: Rows = []
    for _, center in sorted(tops, reverse=True):
        if all(dist(center, peak) > width for peak in peaks):
            peaks.append(center)
    labels = []
    for point in points:
        away = [dist(point, peak) for peak in peaks]
        labels.append(away.index(min(away)) if min(away) <= width else -1)
    return labels


def largest(labels: list[int]) -> list[int]:
    """Return who has the label that most have; the smallest among equals."""
    best = max(sorted(set(labels) - {-1}), key=labels.count)
    return [i for i, label in enumerate(labels) if label == best]
