"""Mimic (Karimireddy et al. 2022): copy the honest client that differs most from the others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from quickthorn.simulations.attacks.honest import Vector, dots, mean_of, weighted_sum
from quickthorn.simulations.attacks.spec import AttackSpec, Forged, Rows, UpdateView
from quickthorn.strategies.errors import ConfigurationError
from quickthorn.strategies.kernels.pairwise import gram

Memory = Mapping[str, Any]


def mimic(view: UpdateView, *, warmup: int = 1) -> Forged:
    """Repeat what one honest client sends, so that its data count k + 1 times.

        z = argmax_‖z‖=1  zᵀ (Σ_t Σ_i (x_i − μ)(x_i − μ)ᵀ) z,   i* = argmax_i |Σ_t ⟨z, x_i⟩|

    The sums run over the first ``warmup`` rounds of the attack; the target then stays. z is
    exact in the first of them (from the h × h products) and follows by one power iteration
    in each of the others, with μ the mean so far, so that no past update is stored. Every
    copy is an honest update: nothing about it is an outlier, and on unequal data it still
    pulls the result toward one client.

    Parameters
    ----------
    view
        ``honest`` (h, d), their ``clients``, and ``state``. The target is known by its id; in
        a round without it, the best of those present is copied.
    warmup
        Rounds in which the target is sought, at least 1.

    Returns
    -------
    Forged
        (k, d) copies of one honest row. State: ``rounds``, ``center`` μ (d,), ``direction``
        z (d,), and ``sums``, client to Σ_t ⟨z, x_i⟩.

    Raises
    ------
    ConfigurationError
        If ``warmup`` is below 1.

    Example
    -------
    >>> honest = np.array([[0.0, 0.0], [1.0, 0.1], [5.0, 0.0]], np.float32)
    >>> forged = mimic(UpdateView(own=honest[:1], honest=honest))
    >>> forged.rows, round(forged.state["sums"]["2"], 1)
    (array([[5., 0.]], dtype=float32), 5.0)

    References
    ----------
    Karimireddy, He and Jaggi, "Byzantine-Robust Learning on Heterogeneous Datasets via
    Bucketing", ICLR 2022, appendix (the mimic attack).

    """
    if warmup < 1:
        msg = f"warmup of mimic must be at least 1; got {warmup}."
        raise ConfigurationError(msg)
    memory: Memory = view.state or {"rounds": 0, "sums": {}}
    if memory["rounds"] < warmup:
        memory = _learn(view, memory)
    sums = [abs(memory["sums"].get(client, 0.0)) for client in view.clients]
    rows = view.honest[[int(np.argmax(sums))] * len(view.own)]
    return Forged(rows, memory)


def _learn(view: UpdateView, memory: Memory) -> Memory:
    """Return the memory after one more round of warm-up."""
    rounds = memory["rounds"]
    mean = mean_of(view.honest)
    if rounds == 0:
        center, direction = mean, _top_direction(view.honest)
    else:
        center = (rounds * memory["center"] + mean) / (rounds + 1)
        along = dots(view.honest, memory["direction"][None])[:, 0] - center @ memory["direction"]
        pull = _unit(weighted_sum(view.honest, along) - along.sum() * center)
        direction = _unit(rounds * memory["direction"] + pull)
    found = dots(view.honest, direction[None])[:, 0]
    sums = dict(memory["sums"])
    for client, value in zip(view.clients, found.tolist(), strict=True):
        sums[client] = sums.get(client, 0.0) + value
    return {"rounds": rounds + 1, "center": center, "direction": direction, "sums": sums}


def _top_direction(honest: Rows) -> Vector:
    """Return the unit direction of the largest variance of the rows; zeros if they are equal."""
    products = gram(honest)
    means = products.mean(axis=0)
    centered = products - means - means[:, None] + means.mean()
    weights = np.linalg.eigh(centered)[1][:, -1]
    return _unit(weighted_sum(honest, weights - weights.mean()))


def _unit(vector: Vector) -> Vector:
    length = float(np.linalg.norm(vector))
    return vector / length if length else vector


SPEC = AttackSpec(
    name="mimic",
    kind="update",
    apply=mimic,
    knows="all honest updates",
    reference="Karimireddy et al., ICLR 2022",
    looks_at_own=False,
)
