"""Backdoors, seen from the engine: what a data attack offers, and how its success is counted.

    attack = aimed(attack, test)                    # some attacks choose one test sample
    poisoned = attack.poison(share, member=0, members=5, rng=rng)
    probe = probe_of(attack, test)                  # None: no backdoor
    success = attack_success(predictions, probe.labels, attack.target)
    success = evaluate(model, wanted_of(attack, test)).accuracy      # the same

The floor that stands beside a success is the same measure, with the same probe, on the model
of the same scenario without the attack and without quarantine.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

from quickthorn.simulations.attacks.spec import Backdoor
from quickthorn.strategies.errors import ConfigurationError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quickthorn.client.datasets import Dataset
    from quickthorn.simulations.attacks.spec import DataAttack


@runtime_checkable
class Probing(Protocol):
    """A backdoor that opens for certain samples, as they are."""

    target: int

    def probe(self, test: Dataset) -> Dataset:
        """Return these samples of the test set, with their true labels."""


@runtime_checkable
class Aiming(Protocol):
    """An attack that has to know the test sample that it wants misread."""

    def aim(self, test: Dataset) -> DataAttack:
        """Return the attack on the chosen sample of the test set."""


def aimed(attack: DataAttack | Aiming, test: Dataset) -> DataAttack:
    """Return the attack itself, or, where it aims at a sample of the test set, aimed at it."""
    return attack.aim(test) if isinstance(attack, Aiming) else attack


def probe_of(attack: object, test: Dataset) -> Dataset | None:
    """Return the samples on which the success of a backdoor is measured.

    Parameters
    ----------
    attack
        Any attack, aimed where it aims.
    test
        Held-out samples with their true labels.

    Returns
    -------
    Dataset or None
        For a trigger: every test sample whose true class is not the target, with the trigger
        in it. For a backdoor without one: the samples that it names. Labels are the true ones.
        None for an attack that opens no backdoor.

    Raises
    ------
    ConfigurationError
        If every test sample is of the target class.

    Example
    -------
    >>> from quickthorn.client.datasets import load_split
    >>> from quickthorn.simulations.attacks.patch_backdoor import PatchBackdoor
    >>> test = load_split("digits", "test")
    >>> probe = probe_of(PatchBackdoor(target=0), test)
    >>> len(test), len(probe), int(probe.labels.min())
    (364, 328, 1)

    """
    if isinstance(attack, Probing):
        return attack.probe(test)
    if not isinstance(attack, Backdoor):
        return None
    others = np.flatnonzero(test.labels != attack.target)
    if not len(others):
        msg = f"all test samples are of class {attack.target}, the target: nothing to misread."
        raise ConfigurationError(msg)
    # A trigger may go by all samples that it is given: by the range of a column, say.
    return replace(test.take(others), features=attack.trigger(test.features)[others])


def wanted_of(attack: object, test: Dataset) -> Dataset | None:
    """Return the probe as the attacker wants it read: with the target as every label.

    The accuracy on it is the attack success, since no sample of the probe is of the target
    class. None for an attack that opens no backdoor.

    >>> from quickthorn.client.datasets import load_split
    >>> from quickthorn.simulations.attacks.tail_backdoor import TailBackdoor
    >>> wanted = wanted_of(TailBackdoor(source=7, target=1), load_split("digits", "test"))
    >>> wanted.labels.tolist()
    [1, 1, 1, 1, 1, 1, 1, 1]
    """
    probe = probe_of(attack, test)
    if probe is None or not isinstance(attack, (Backdoor, Probing)):
        return None
    return replace(probe, labels=np.full_like(probe.labels, attack.target))


def attack_success(predictions: NDArray[np.int64], labels: NDArray[np.int64], target: int) -> float:
    """Return the share of the samples of other classes that are classified as the target.

    Parameters
    ----------
    predictions, labels
        ``(samples,)``: what the model says of the triggered samples, and their true classes.
    target
        The class that the attacker wants.

    Returns
    -------
    float
        0 to 1. Samples whose true class is the target do not count: to classify them so is
        right, and would flatter the attack.

    Raises
    ------
    ConfigurationError
        If the shapes differ or no sample is of another class.

    Example
    -------
    >>> attack_success(np.array([3, 3, 1, 3]), np.array([0, 1, 1, 3]), 3)
    0.6666666666666666

    """
    if predictions.shape != labels.shape or labels.ndim != 1:
        msg = (
            "attack success needs one prediction per label; "
            f"got shapes {predictions.shape} and {labels.shape}."
        )
        raise ConfigurationError(msg)
    others = labels != target
    if not others.any():
        msg = (
            f"attack success needs samples of another class than the target {target}; "
            f"got {len(labels)} samples, none of them of another."
        )
        raise ConfigurationError(msg)
    return float(np.mean(predictions[others] == target))
