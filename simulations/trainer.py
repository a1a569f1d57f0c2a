"""What the members of a simulated federation learn: their data, one model, their trainings."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING

import numpy as np
import torch

from quickthorn.client.datasets import load_split
from quickthorn.client.models import get_state, set_state
from quickthorn.client.optimizers import Sgd
from quickthorn.client.partition import kept_samples
from quickthorn.client.root import ROOT_SAMPLES, draw_root
from quickthorn.client.training import derive_seed, fit
from quickthorn.simulations.backdoor import aimed
from quickthorn.simulations.own_model import blamed, is_own, rehearse
from quickthorn.simulations.proximal import Proximal
from quickthorn.simulations.schedule import parse_schedule
from quickthorn.simulations.setting import deal, held_out, make_model
from quickthorn.simulations.tally import draw
from quickthorn.simulations.together import fit_together, is_stackable, stack
from quickthorn.strategies import build
from quickthorn.strategies.errors import RunError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from quickthorn.client.datasets import Dataset
    from quickthorn.client.optimizers import Optimizer
    from quickthorn.simulations.attacks.attack import Attack
    from quickthorn.simulations.scenario import Scenario
    from quickthorn.simulations.stopwatch import Stopwatch
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


class Trainer:
    """Trains every member of one scenario, and the server where it trains itself.

    There is one model, which every member borrows; the data set is there once, and a share
    is a list of indices. What a member keeps over rounds is its momentum, where it has one.

    Parameters
    ----------
    scenario
        Who the members are, and how they train.
    attack
        What the hostile do to their data and in their training.
    watch
        Takes the seconds of ``train``, ``root`` and, for the data, ``attack``.

    """

    def __init__(self, scenario: Scenario, attack: Attack, watch: Stopwatch) -> None:
        """Load and deal the data, poison what is to be poisoned, build the model."""
        self._scenario = scenario
        self._attack = attack
        self._watch = watch
        self._schedule = parse_schedule(scenario.lr_schedule)
        self._data = load_split(scenario.dataset, "train", scenario.data_dir)
        self._shares = deal(scenario, self._data.labels)
        with watch("attack"):
            self._poisoned = self._poison()
        self.model = make_model(scenario, self._data)
        if is_own(scenario):
            rehearse(scenario, self.model, self._data, self._lengths())
        self._trained: list[torch.Tensor] = [p for p in self.model.parameters() if p.requires_grad]
        self._size = sum(parameter.numel() for parameter in self.model.parameters())
        self._stackable = is_stackable(self.model)
        self._momenta: dict[int, list[torch.Tensor]] = {}

    def train(
        self, clients: Sequence[int], number: int, sent: Model, *, forging: bool = False
    ) -> Iterator[Answer]:
        """Train as each of ``clients`` does, several together where that gives the same bits.

        Parameters
        ----------
        clients
            Their numbers, ascending.
        number
            Of the round, from 1.
        sent
            The model that the server sent.
        forging
            Whether they are hostile and will forge what they send: then a loss that their
            attack asks for is theirs.

        """
        start = self._start(sent) if forging else ()
        together = 0
        if self._stackable:
            together = sum(self._poison_of(client, number) is None for client in clients)
        size = max(1, _STACKED // self._size)
        for first in range(0, together, size):
            yield from self._train_together(
                clients[first : min(first + size, together)], number, sent, start
            )
        for client in clients[together:]:
            yield self._train(client, number, sent, start)

    def samples(self, client: int, number: int) -> int:
        """Return how many samples a member trains on in a round."""
        poison = self._poison_of(client, number)
        return len(self._shares[client] if poison is None else poison)

    def train_root(self, number: int, sent: Model) -> Model:
        """Return what the server learns itself in round ``number``, on its root set.

        By the members' own procedure, as ``client.root`` does for a deployment, but without their
        momentum.

        Raises
        ------
        RunError
            If training diverges.

        """
        set_state(self.model, sent)
        optimizer = self._optimizer(number, self._trained, [])
        seed = derive_seed(self._scenario.seed, ROOT, number)
        with self._watch("root"):
            fit(self.model, self.root, self._scenario, optimizer=optimizer, seed=seed)
        return get_state(self.model)

    @cached_property
    def root(self) -> Dataset:
        """Return the server's own samples, of those that the members may hold."""
        scenario, labels = self._scenario, self._data.labels
        kept = kept_samples(labels, scenario.partition, scenario.tail_factor)
        return self._data.take(kept[draw_root(labels[kept], ROOT_SAMPLES, scenario.seed)])

    def _lengths(self) -> list[int]:
        """Return on how many samples the model is trained by anyone, each number once."""
        scenario, rounds = self._scenario, range(1, self._scenario.rounds + 1)
        drawn = {client for number in rounds for client in draw(scenario, number)}
        # The hostile train on their share too, where they do not attack and for the floor.
        held = (dict(enumerate(self._shares)), self._poisoned)
        lengths = {len(parts[client]) for parts in held for client in drawn & parts.keys()}
        if build(scenario.defense, byzantine=scenario.byzantine).needs_trusted:
            lengths.add(len(self.root))
        return sorted(lengths, reverse=True)

    def _poison_of(self, client: int, number: int) -> Dataset | None:
        """Return what a member trains on in a round in place of its share, if anything."""
        return self._poisoned.get(client) if self._scenario.attacks_in(number) else None

    def _start(self, sent: Model) -> Sequence[torch.Tensor]:
        """Return what ties those who forge while they train; nothing ties them with α = 1."""
        if self._attack.alpha == 1:
            return ()
        set_state(self.model, sent)
        return [parameter.detach().clone() for parameter in self._trained]

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
                pace=self._scenario,
                make_optimizer=partial(self._optimizer, number, start=start),
                seeds=[derive_seed(self._scenario.seed, client, number) for client in clients],
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
        scenario = self._scenario
        poison, samples = self._poison_of(client, number), self.samples(client, number)
        data = self._data if poison is None else poison
        share = self._shares[client] if poison is None else None
        with self._watch("train"):
            set_state(self.model, sent)
            optimizer = self._optimizer(number, self._trained, self._momentum(client), start)
            seed = derive_seed(scenario.seed, client, number)
            doing = f"as {scenario.client_ids[client]} trained it in round {number}"
            try:
                with blamed(scenario, doing):
                    fit(self.model, data, scenario, optimizer=optimizer, seed=seed, share=share)
            except RunError as error:
                return Answer(client, None, samples, str(error))
            arrays = {
                name: value.detach().numpy() for name, value in self.model.state_dict().items()
            }
        return Answer(client, arrays, samples)

    def _momentum(self, client: int) -> list[torch.Tensor]:
        """Return the velocities that a member keeps over rounds; empty without momentum.

        After a training that diverged it begins anew.
        """
        if not self._scenario.client_momentum:
            return []
        kept = self._momenta.get(client)
        if kept is None or not all(bool(part.isfinite().all()) for part in kept):
            kept = self._momenta[client] = [torch.zeros_like(p) for p in self._trained]
        return kept

    def _optimizer(
        self,
        number: int,
        parameters: list[torch.Tensor],
        velocities: list[torch.Tensor],
        start: Sequence[torch.Tensor] = (),
    ) -> Optimizer:
        """Return the optimizer of round ``number``; without velocities it has no momentum."""
        scenario = self._scenario
        momentum = scenario.client_momentum if velocities else 0.0
        usual = Sgd(
            parameters,
            learning_rate=scenario.lr * self._schedule.factor_at(number),
            momentum=momentum,
            weight_decay=scenario.weight_decay,
            dampening=momentum if scenario.client_damping else 0.0,
            velocities=velocities or None,
        )
        return Proximal(usual, parameters, start, self._attack.alpha) if start else usual

    def _poison(self) -> dict[int, Dataset]:
        """Return what each hostile member trains on, where the attack is on the data."""
        scenario, attack = self._scenario, self._attack.data
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
