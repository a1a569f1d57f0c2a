"""All members of a simulated federation in one process: their data, one model, their replies."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch

from quickthorn.client.datasets import load_split
from quickthorn.client.models import get_state, set_state
from quickthorn.client.optimizers import Sgd
from quickthorn.client.root import ROOT_SAMPLES, draw_root
from quickthorn.client.training import derive_seed, fit
from quickthorn.server.judgement import Expectation
from quickthorn.server.root import own_update
from quickthorn.simulations.attacks.attack import build_attack
from quickthorn.simulations.attacks.oracle import Oracle
from quickthorn.simulations.attacks.spec import KNOWLEDGE, UnforgeableError, UpdateView
from quickthorn.simulations.backdoor import aimed
from quickthorn.simulations.schedule import parse_schedule
from quickthorn.simulations.setting import deal, held_out, make_model
from quickthorn.simulations.tether import Tethered
from quickthorn.simulations.together import fit_together, is_stackable, stack
from quickthorn.strategies.errors import RunError
from quickthorn.strategies.updates import ModelLayout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from quickthorn.client.datasets import Dataset
    from quickthorn.client.optimizers import Optimizer
    from quickthorn.simulations.scenario import Scenario
    from quickthorn.simulations.stopwatch import Stopwatch
    from quickthorn.strategies import Defense
    from quickthorn.strategies.defense import State
    from quickthorn.strategies.updates import Array

    Model = Mapping[str, Array]

# What the seed is mixed with where a client's number would stand in the seed of a training.
POISON, ATTACK, ROOT = 2**32, 2**32 + 1, 2**32 + 2


# Parameters, over all members, that are trained together: 16 MiB.
_STACKED = 1 << 22


@dataclass(frozen=True, eq=False)
class Answer:
    """What one member sends.

    Attributes
    ----------
    client
        Its number, from 0.
    arrays
        The model, name to array: the memory of the one model, valid until the next answer is
        asked for. None where its training failed.
    samples
        How many samples it has.
    fault
        What its training failed of.

    """

    client: int
    arrays: Model | None
    samples: int
    fault: str = ""


class Members:
    """The members of one scenario.

    There is one model, which every member borrows; the data set is there once, and a share
    is a list of indices. What a member keeps over rounds is its momentum, where it has one.

    Parameters
    ----------
    scenario
        Who they are and what they do.
    watch
        Takes the seconds of ``train`` and ``attack``.

    Attributes
    ----------
    unforged
        Round to the reason for which the hostile had to send what they have.

    """

    def __init__(self, scenario: Scenario, watch: Stopwatch) -> None:
        """Load and deal the data, poison what is to be poisoned, build the model."""
        self.scenario = scenario
        self.attack = build_attack(scenario.attack)
        self._watch = watch
        self._schedule = parse_schedule(scenario.lr_schedule)
        self._data = load_split(scenario.dataset, "train", scenario.data_dir)
        self._shares = deal(scenario, self._data.labels)
        with watch("attack"):
            self._poisoned = self._poison()
        self.model = make_model(scenario, self._data)
        self.initial: Model = get_state(self.model)
        self.layout = ModelLayout.of(self.initial)
        self._trained: list[torch.Tensor] = [p for p in self.model.parameters() if p.requires_grad]
        self._stackable = is_stackable(self.model)
        self._momenta: dict[int, list[torch.Tensor]] = {}
        self.unforged: dict[int, str] = {}
        self._attack_state: Mapping[str, object] | None = None
        self._before: Array | None = None
        self._root: Dataset | None = None
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
        forgers = self._forgers(number, chosen)
        others = chosen[: len(chosen) - len(forgers)]
        keep = bool(forgers) and self.attack.knows != KNOWLEDGE[0]
        honest = np.empty((len(others) if keep else 0, len(weights)), weights.dtype)
        seen: list[Answer] = []
        for answer in self._train_all(others, number, sent):
            if keep and answer.arrays is not None:
                np.subtract(self.layout.flatten(answer.arrays)[0], weights, out=honest[len(seen)])
                seen.append(Answer(answer.client, None, answer.samples))
            yield answer
        # A momentum is of every training, whether its result matters or not.
        train = self.attack.looks_at_own or self.scenario.client_momentum > 0
        own, kept = self._own(forgers, number, sent, train=train)
        samples = [self._samples(client, number) for client in forgers]
        ids = tuple(self.scenario.client_ids[c] for c in [*(a.client for a in seen), *forgers])
        claims = np.array([*(answer.samples for answer in seen), *samples], float)
        asks = bool(forgers) and self.attack.knows == KNOWLEDGE[-1]
        view = UpdateView(
            own=own,
            honest=honest[: len(seen)],
            byzantine=self.scenario.byzantine,
            defense=oracle(ids).told(weights=claims) if asks else None,
            model=weights,
            previous=np.zeros_like(weights) if self._before is None else weights - self._before,
            round=number,
            longest=Expectation.of(self.layout, weights).max_update_norm,
            state=self._attack_state,
            cohort=len(chosen),
            clients=ids[: len(seen)],
        )
        self._before = weights
        rows = self._forge(view) if forgers else own
        if rows is None:
            rows, kept = (own, kept) if train else self._own(forgers, number, sent)
        for client, row, counts, claim in zip(forgers, rows, kept, samples, strict=True):
            with np.errstate(over="ignore", invalid="ignore"):
                model = self.layout.unflatten(weights + row, counts)
            yield Answer(client, model, claim)

    def _own(
        self, clients: list[int], number: int, sent: Model, *, train: bool = True
    ) -> tuple[Array, list[Array]]:
        """Return what ``clients`` would send: (k, d) updates, zeros where none, and counters."""
        weights, counters = self.layout.flatten(sent)
        own, kept = np.zeros((len(clients), len(weights)), weights.dtype), [counters] * len(clients)
        training = self._train_all(clients if train else [], number, sent, self._start(sent))
        for place, answer in enumerate(training):
            if answer.arrays is not None:
                trained, kept[place] = self.layout.flatten(answer.arrays)
                np.subtract(trained, weights, out=own[place])
        return own, kept

    def _samples(self, client: int, number: int) -> int:
        """Return how many samples a member trains on in a round."""
        if client in self._poisoned and self.scenario.attacks_in(number):
            return len(self._poisoned[client])
        return len(self._shares[client])

    def _forge(self, view: UpdateView) -> Array | None:
        """Return what the hostile send; None where it cannot be forged: then what they have."""
        rng = np.random.default_rng(derive_seed(self.scenario.seed, ATTACK, view.round))
        try:
            with self._watch("attack"), np.errstate(over="ignore", invalid="ignore"):
                forged = self.attack.forge(view, rng=rng)
        except UnforgeableError as error:
            self.unforged[view.round] = str(error)
            return None
        self._attack_state = forged.state
        return forged.rows

    def train_root(self, number: int, sent: Model) -> Model:
        """Return what the server learns itself in round ``number``, on its root set.

        By the members' own procedure, as ``client.root`` does for a deployment.

        Raises
        ------
        RunError
            If training diverges.

        """
        if self._root is None:
            labels, seed = self._data.labels, self.scenario.seed
            self._root = self._data.take(draw_root(labels, ROOT_SAMPLES, seed))
        set_state(self.model, sent)
        optimizer = self._optimizer(number, self._trained, [])
        seed = derive_seed(self.scenario.seed, ROOT, number)
        with self._watch("root"):
            fit(self.model, self._root, self.scenario, optimizer=optimizer, seed=seed)
        return get_state(self.model)

    def own_update(self, number: int, sent: Model) -> tuple[Array | None, str]:
        """Return the server's own update of this round, or why there is none."""
        if self._trusted is None or self._trusted[0] != number:
            weights, _ = self.layout.flatten(sent)
            found = own_update(self.train_root, number, sent, self.layout, weights)
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
        if not (self.attack.on_update and self.scenario.attacks_in(number)):
            return []
        first = self.scenario.clients - self.scenario.attackers
        return [client for client in chosen if client >= first]

    def _start(self, sent: Model) -> Sequence[torch.Tensor]:
        """Return what ties those who forge while they train; nothing ties them with α = 1."""
        if self.attack.alpha == 1:
            return ()
        set_state(self.model, sent)
        return [parameter.detach().clone() for parameter in self._trained]

    def _train_all(
        self, clients: Sequence[int], number: int, sent: Model, start: Sequence[torch.Tensor] = ()
    ) -> Iterator[Answer]:
        """Train as each of ``clients`` does, several together where that gives the same bits."""
        together = 0
        if self._stackable:
            attacking = self.scenario.attacks_in(number)
            together = sum(not (attacking and c in self._poisoned) for c in clients)
        size = max(1, _STACKED // self.layout.size)
        for first in range(0, together, size):
            yield from self._train_together(
                clients[first : min(first + size, together)], number, sent, start
            )
        for client in clients[together:]:
            yield self._train(client, number, sent, start)

    def _train_together(
        self, clients: Sequence[int], number: int, sent: Model, start: Sequence[torch.Tensor]
    ) -> Iterator[Answer]:
        with self._watch("train"):
            set_state(self.model, sent)
            names, parameters = zip(*self.model.named_parameters(), strict=True)
            stacks = [stack([p.detach()] * len(clients)) for p in parameters]
            momenta = [self._momentum(client) for client in clients]
            velocities = [stack(parts) for parts in zip(*momenta, strict=True)]
            totals = fit_together(
                stacks,
                velocities,
                torch.from_numpy(self._data.features.reshape(len(self._data), -1)),
                torch.from_numpy(self._data.labels),
                [self._shares[client] for client in clients],
                pace=self.scenario,
                make_optimizer=partial(self._optimizer, number, start=start),
                seeds=[derive_seed(self.scenario.seed, client, number) for client in clients],
            )
            for member, momentum in enumerate(momenta):
                for kept, moved in zip(momentum, velocities, strict=True):
                    kept.copy_(moved[member])
        for member, (client, total) in enumerate(zip(clients, totals, strict=True)):
            samples = len(self._shares[client])
            arrays = {name: part[member].numpy() for name, part in zip(names, stacks, strict=True)}
            fault = "" if math.isfinite(total) else f"the loss is {total}: training diverged."
            yield Answer(client, None if fault else arrays, samples, fault)

    def _train(
        self, client: int, number: int, sent: Model, start: Sequence[torch.Tensor]
    ) -> Answer:
        """Train the one model as this member does."""
        scenario = self.scenario
        data = self._data
        share: NDArray[np.int64] | None = self._shares[client]
        samples = self._samples(client, number)
        if client in self._poisoned and scenario.attacks_in(number):
            data, share = self._poisoned[client], None
        with self._watch("train"):
            set_state(self.model, sent)
            optimizer = self._optimizer(number, self._trained, self._momentum(client), start)
            seed = derive_seed(scenario.seed, client, number)
            try:
                fit(self.model, data, scenario, optimizer=optimizer, seed=seed, share=share)
            except RunError as error:
                return Answer(client, None, samples, str(error))
            arrays = {
                name: value.detach().numpy() for name, value in self.model.state_dict().items()
            }
        return Answer(client, arrays, samples)

    def _momentum(self, client: int) -> list[torch.Tensor]:
        """Return the velocities that a member keeps over rounds; empty without momentum."""
        if not self.scenario.client_momentum:
            return []
        if client not in self._momenta:
            self._momenta[client] = [torch.zeros_like(p) for p in self._trained]
        return self._momenta[client]

    def _optimizer(
        self,
        number: int,
        parameters: list[torch.Tensor],
        velocities: list[torch.Tensor],
        start: Sequence[torch.Tensor] = (),
    ) -> Optimizer:
        """Return the optimizer of round ``number``; without velocities it has no momentum."""
        scenario = self.scenario
        momentum = scenario.client_momentum if velocities else 0.0
        usual = Sgd(
            parameters,
            learning_rate=scenario.lr * self._schedule.factor_at(number),
            momentum=momentum,
            weight_decay=scenario.weight_decay,
            dampening=momentum if scenario.client_damping else 0.0,
            velocities=velocities or None,
        )
        return Tethered(usual, parameters, start, self.attack.alpha) if start else usual

    def _poison(self) -> dict[int, Dataset]:
        """Return what each hostile member trains on, where the attack is on the data."""
        scenario, attack = self.scenario, self.attack.data
        if attack is None:
            return {}
        attack = aimed(attack, held_out(scenario))
        first = scenario.clients - scenario.attackers
        return {
            first + member: attack.poison(
                self._data.take(self._shares[first + member]),
                member=member,
                members=scenario.attackers,
                rng=np.random.default_rng(derive_seed(scenario.seed, POISON, member)),
            )
            for member in range(scenario.attackers)
        }
