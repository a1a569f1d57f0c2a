"""The streams of random numbers of one scenario: each begins with numbers of its own."""

from __future__ import annotations

import itertools
import sys
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from quickthorn.simulations import Scenario
from quickthorn.simulations.members import Members
from quickthorn.simulations.rounds import run_rounds
from quickthorn.simulations.stopwatch import Stopwatch

if TYPE_CHECKING:
    import pytest

# Something for every stream to do: who holds what, who is drawn, batches, poison, an attack that
# asks the defense, a server that trains itself, and 50 rounds of rules.
EVERYTHING = Scenario(
    dataset="breast_cancer",
    clients=9,
    clients_per_round=8,
    partition="shards",
    rounds=50,
    local_steps=1,
    attackers=2,
    byzantine=2,
    attack="tabular_backdoor | optimal_alie(evaluations=1)",
    defense="fltrust",
    client_momentum=0.5,
    seed=5,
)
# These begin alike. To part the first pair would change the results of every scenario with
# sorted shards and hostile members, or of every rule that draws, published ones among them; to
# part the second, those of every rule that trusts a root set.
ALIKE = {
    frozenset({("outsiders", (5, 1)), ("_play", (5, 1))}),
    frozenset({("partition", 5), ("draw_root", 5)}),
}

PLACES = {
    "_play",
    "Members._forge",
    "Trainer._poison",
    "Oracle.__call__",
    "draw",
    "draw_root",
    "outsiders",
    "partition",
    "training",
}


def test_every_stream_begins_with_numbers_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: defaultdict[bytes, set[tuple[str, Any]]] = defaultdict(set)
    make, trainings = np.random.default_rng, itertools.count()

    def observed(seed: Any) -> np.random.Generator:  # noqa: ANN401 - whatever numpy takes
        if seed != 0:  # what an attack is tried on when it is read
            # An attack may ask the defense twice: the same place and seed are the same stream.
            code = sys._getframe(1).f_code
            place = code.co_qualname.partition(".<")[0]
            begun[make(seed).bytes(16)].add((place, seed))
        return make(seed)

    class Observed(torch.Generator):
        def manual_seed(self, seed: int) -> torch.Generator:
            seeded = super().manual_seed(seed)
            start = seeded.get_state()
            first = torch.rand(4, generator=seeded).numpy().tobytes()
            begun[first].add(("training", next(trainings)))
            return seeded.set_state(start)

    monkeypatch.setattr(np.random, "default_rng", observed)
    monkeypatch.setattr(torch, "Generator", Observed)
    members = Members(EVERYTHING, Stopwatch())
    run_rounds(members, Stopwatch(), lambda _, state: None)
    places = {place for streams in begun.values() for place, _ in streams}
    assert places == PLACES
    assert next(trainings) == 50 * (8 + 1)  # of those who are drawn, and of the server
    assert {frozenset(streams) for streams in begun.values() if len(streams) > 1} == ALIKE
