"""All members of a simulated federation in one process: what they send, and what they forge."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from quickthorn.client.models import get_state
from quickthorn.client.training import derive_seed
from quickthorn.server.judgement import Expectation, admit_arrays
from quickthorn.server.root import own_update
from quickthorn.simulations.attacks.attack import build_attack
from quickthorn.simulations.attacks.oracle import Oracle
from quickthorn.simulations.attacks.spec import KNOWLEDGE, UnforgeableError, UpdateView
from quickthorn.simulations.trainer import ATTACK, Answer, Trainer
from quickthorn.strategies.updates import ModelLayout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from quickthorn.simulations.scenario import Scenario
    from quickthorn.simulations.stopwatch import Stopwatch
    from quickthorn.simulations.trainer import Model
    from quickthorn.strategies import Defense
    from quickthorn.strategies.defense import State
    from quickthorn.strategies.updates import Array


class Members:
    """The members of one scenario, as the server sees them.

    Parameters
    ----------
    scenario
        Who they are and what they do.
    watch
        Takes the seconds of ``train`` and ``attack``.

    Attributes
    ----------
    model, initial, layout
        The one model that every member borrows, its state at the beginning, and its layout.
    unforged
        Round to the reason for which the hostile had to send what they have.

    """

    def __init__(self, scenario: Scenario, watch: Stopwatch) -> None:
        """Load and deal the data, poison what is to be poisoned, build the model."""
        self.scenario = scenario
        self._watch = watch
        self._attack = build_attack(scenario.attack)
        self._trainer = Trainer(scenario, self._attack, watch)
        self.model = self._trainer.model
        self.initial: Model = get_state(self.model)
        self.layout = ModelLayout.of(self.initial)
        self.unforged: dict[int, str] = {}
        self._attack_state: Mapping[str, object] | None = None
        self._before: Array | None = None  # the model that was sent last
        self._step: Array = np.zeros(0, np.float32)  # from the one before to it
        self._trusted: tuple[int, tuple[Array | None, str]] | None = None

    def answers(
        self,
        number: int,
        chosen: Sequence[int],
        sent: Model,
        oracle: Callable[[tuple[str, ...]], Oracle],
    ) -> Iterator[Answer]:
        """Yield what each of ``chosen`` sends in round ``number``, in their order.

        Parameters
        ----------
        number
            Of the round, from 1.
        chosen
            Numbers of the members that take part, ascending.
        sent
            The model that the server sent.
        oracle
            What the server would make of the updates of these clients, for an attack that
            knows the defense.

        """
        weights, _ = self.layout.flatten(sent)
        expected = Expectation.of(self.layout, weights)
        if self._before is not None:
            self._step = weights - self._before
        self._before = weights
        forgers = self._forgers(number, chosen)
        others = chosen[: len(chosen) - len(forgers)]
        keep = bool(forgers) and self._attack.knows != KNOWLEDGE[0]
        honest = np.empty((len(others) if keep else 0, len(weights)), weights.dtype)
        seen: list[Answer] = []
        for answer in self._trainer.train(others, number, sent):
            if keep and answer.arrays is not None:
                # What the server will refuse is no update to hide among.
                row = honest[len(seen)]
                if admit_arrays(answer.arrays, answer.samples, expected, row).code == "ok":
                    seen.append(Answer(answer.client, None, answer.samples))
            yield answer
        if forgers:
            known = honest[: len(seen)]
            yield from self._forged(number, chosen, sent, expected, seen, known, oracle)

    def _forged(  # noqa: PLR0913, PLR0917 - what the hostile know
        self,
        number: int,
        chosen: Sequence[int],
        sent: Model,
        expected: Expectation,
        seen: list[Answer],
        honest: Array,
        oracle: Callable[[tuple[str, ...]], Oracle],
    ) -> Iterator[Answer]:
        """Yield what the hostile send, after ``honest``, the updates of those in ``seen``."""
        forgers = self._forgers(number, chosen)
        weights = expected.weights
        train = self._attack.looks_at_own or self._leaves_traces()
        own, kept = self._own(forgers, number, sent, train=train)
        samples = [self._trainer.samples(client, number) for client in forgers]
        ids = tuple(self.scenario.client_ids[c] for c in [*(a.client for a in seen), *forgers])
        claims = np.array([*(answer.samples for answer in seen), *samples], float)
        asks = self._attack.knows == KNOWLEDGE[-1]
        view = UpdateView(
            own=own,
            honest=honest,
            byzantine=self.scenario.byzantine,
            defense=oracle(ids).told(weights=claims) if asks else None,
            model=weights,
            previous=self._step,
            round=number,
            longest=expected.max_update_norm,
            state=self._attack_state,
            cohort=len(chosen),
            clients=ids[: len(seen)],
        )
        rows = self._forge(view)
        if rows is None:
            rows, kept = (own, kept) if train else self._own(forgers, number, sent)
        for client, row, counts, claim in zip(forgers, rows, kept, samples, strict=True):
            with np.errstate(over="ignore", invalid="ignore"):
                model = self.layout.unflatten(weights + row, counts)
            yield Answer(client, model, claim)

    def _leaves_traces(self) -> bool:
        """Return whether a later round may depend on what the hostile train in this one.

        Counters of a model are of every training. Their momentum is read again in a round in
        which they do not attack, or cannot forge for want of others. With everybody there that
        happens only where honest members diverge or the defense gives no answer; then the hostile
        go on from their last training.
        """
        scenario = self.scenario
        read_again = scenario.attack_every > 1 or scenario.clients_per_round > 0
        return (scenario.client_momentum > 0 and read_again) or self.layout.counter_size > 0

    def _own(
        self, clients: list[int], number: int, sent: Model, *, train: bool = True
    ) -> tuple[Array, list[Array]]:
        """Return what ``clients`` would send: (k, d) updates, zeros where none, and counters."""
        weights, counters = self.layout.flatten(sent)
        own, kept = np.zeros((len(clients), len(weights)), weights.dtype), [counters] * len(clients)
        training = self._trainer.train(clients if train else [], number, sent, forging=True)
        for place, answer in enumerate(training):
            if answer.arrays is not None:
                trained, kept[place] = self.layout.flatten(answer.arrays)
                np.subtract(trained, weights, out=own[place])
        return own, kept

    def _forge(self, view: UpdateView) -> Array | None:
        """Return what the hostile send; None where it cannot be forged: then what they have."""
        rng = np.random.default_rng(derive_seed(self.scenario.seed, ATTACK, view.round))
        try:
            with self._watch("attack"), np.errstate(over="ignore", invalid="ignore"):
                forged = self._attack.forge(view, rng=rng)
        except UnforgeableError as error:
            self.unforged[view.round] = str(error)
            return None
        self._attack_state = forged.state
        return forged.rows

    def train_root(self, number: int, sent: Model) -> Model:
        """Return what the server learns itself, see ``Trainer.train_root``."""
        return self._trainer.train_root(number, sent)

    def own_update(self, number: int, sent: Model) -> tuple[Array | None, str]:
        """Return the server's own update of this round, or why there is none."""
        if self._trusted is None or self._trusted[0] != number:
            weights, _ = self.layout.flatten(sent)
            found = own_update(self._trainer.train_root, number, sent, self.layout, weights)
            self._trusted = number, found
        return self._trusted[1]

    def foresee(
        self,
        defense: Defense,
        state: State | None,
        number: int,
        sent: Model,
        clients: tuple[str, ...],
    ) -> Oracle:
        """Return what ``defense`` would make of updates of ``clients`` in round ``number``.

        With what it remembers and knows, but not with its luck: a rule that draws, draws
        otherwise for the attacker than it will for the server.
        """
        trusted = self.own_update(number, sent)[0] if defense.needs_trusted else None
        given = {"trusted": trusted, "layout": self.layout, "state": state}
        return Oracle(defense, given, clients, seed=(self.scenario.seed, ATTACK, number))

    def _forgers(self, number: int, chosen: Sequence[int]) -> list[int]:
        """Return those of ``chosen`` that forge their update in this round."""
        if not (self._attack.on_update and self.scenario.attacks_in(number)):
            return []
        first = self.scenario.clients - self.scenario.attackers
        return [client for client in chosen if client >= first]
