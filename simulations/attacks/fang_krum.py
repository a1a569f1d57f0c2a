"""Fang's attack on Krum (Fang et al. 2020): the longest backward step that Krum still picks."""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING, Literal

import numpy as np

from quickthorn.simulations.attacks.honest import copies, dots, mean_of
from quickthorn.simulations.attacks.spec import AttackSpec, Forged, UpdateView
from quickthorn.strategies.kernels.pairwise import squared_distances
from quickthorn.strategies.kernels.rows import row_norms

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quickthorn.simulations.attacks.spec import Rows

# The search gives up when λ has fallen to this share of its upper bound.
_SMALLEST = 1e-5


def fang_krum(view: UpdateView, *, knowledge: Literal["full", "partial"] = "full") -> Forged:
    """Go backward, in the sign of every coordinate, as far as Krum still chooses the row.

        x = −λ s,   s = sign(m),   λ halved from its upper bound until Krum picks x

        λ₀ = 1/((n − 2k − 1) √d) · min_i Σ_{j ∈ N_i} ‖x_i − x_j‖ + max_i ‖x_i‖ / √d

    over the honest i, with N_i the n − k − 2 honest nearest to i. The paper's c is both k, how
    many attack, and f, how many the server's Krum assumes; here λ₀ counts k, and only the
    choice that is foreseen, by the n − f − 2 nearest of all, follows f.
    Krum's choice follows from the n × n distances, to which a probe adds one row and column,
    so that a probe does not read the updates. Where n ≤ 2k + 1, whose denominator is not
    positive, 1 stands for it: λ₀ only has to be large. The paper spreads the k rows over a
    tiny ball; here they are equal. If Krum picks none down to 1e-5 λ₀, that λ is sent.

    Parameters
    ----------
    view
        ``honest`` (h, d) and ``byzantine``, the f of the server's Krum; or ``own`` (k, d).
    knowledge
        ``full``: m and the distances are those of the honest updates, and Krum runs over all
        n with the server's f. ``partial``: the members' own updates stand for the honest
        ones, and Krum is tried over them and one forged row, two, … up to k, until it picks;
        both k and f are then the number of forged rows.

    Returns
    -------
    Forged
        (k, d) equal rows, no state.

    Example
    -------
    >>> honest = np.array([[-2.0], [-1.0], [0.0], [2.0], [6.0]], np.float32)
    >>> fang_krum(UpdateView(own=honest[:2], honest=honest, byzantine=2)).rows
    array([[-1.0625],
           [-1.0625]], dtype=float32)

    References
    ----------
    Fang, Cao, Jia and Gong, "Local Model Poisoning Attacks to Byzantine-Robust Federated
    Learning", USENIX Security 2020 (the attack on Krum).

    """
    k = len(view.own)
    benign = view.honest if knowledge == "full" else view.own
    signs = np.sign(mean_of(benign))
    trial = _Trial(benign, signs)
    if knowledge == "full":
        step, _ = trial.longest(k, len(benign) + k - view.byzantine - 2)
        return Forged(copies(-step * signs, view))
    step = 0.0
    for count in range(1, k + 1):
        step, chosen = trial.longest(count, k - 2)
        if chosen:
            break
    return Forged(copies(-step * signs, view))


class _Trial:
    """Krum over the benign rows and some copies of −λ s, from their products alone."""

    def __init__(self, benign: Rows, signs: NDArray[np.float64]) -> None:
        self.apart = squared_distances(benign)
        self.lengths = row_norms(benign)
        self.slopes = dots(benign, signs[None])[:, 0]
        self.square = float(signs @ signs)
        self.root = sqrt(len(signs))

    def longest(self, count: int, neighbors: int) -> tuple[float, bool]:
        """Return λ and whether Krum picks one of ``count`` copies; ``neighbors`` is n − f − 2."""
        step = start = self._bound(count)
        while step > _SMALLEST * start:
            if self._chosen(step, count, max(neighbors, 1)):
                return step, True
            step /= 2.0
        return step, False

    def _bound(self, count: int) -> float:
        h = len(self.lengths)
        nearest = np.sort(np.sqrt(self.apart), axis=1)[:, 1 : h - 1]
        share = nearest.sum(axis=1).min() / (max(h - count - 1, 1) * self.root)
        return float(share + self.lengths.max() / self.root)

    def _chosen(self, step: float, count: int, neighbors: int) -> bool:
        """Return whether the forged score is strictly smallest: ties go to smaller ids."""
        h = len(self.lengths)
        away = self.lengths**2 + 2.0 * step * self.slopes + step**2 * self.square
        others = self.apart + np.diag(np.full(h, np.inf))
        honest = np.sort(np.hstack([others, np.tile(away[:, None], count)]), axis=1)
        forged = np.sort(np.concatenate([np.zeros(count - 1), away]))
        best = honest[:, :neighbors].sum(axis=1).min()
        return bool(forged[:neighbors].sum() < best)


SPEC = AttackSpec(
    name="fang_krum",
    kind="update",
    apply=fang_krum,
    knows="all honest updates",
    reference="Fang et al., USENIX Security 2020",
    knows_by="knowledge",
)
