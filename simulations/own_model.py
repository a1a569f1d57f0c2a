"""A model of the user's own, ``model = "module:factory"``: made, tried out, and named in errors.

It is tried on a few samples before the first round, so that a model that cannot be trained says
so then, and not after an hour.
"""

from __future__ import annotations

import sys
import traceback
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from quickthorn.client.models import get_state, set_state
from quickthorn.server.references import resolve
from quickthorn.strategies.errors import ConfigurationError, QuickthornError, RunError
from quickthorn.strategies.updates import ModelLayout

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from quickthorn.client.datasets import Dataset
    from quickthorn.client.models import State
    from quickthorn.simulations.scenario import Scenario


def is_own(scenario: Scenario) -> bool:
    """Return whether the model is the user's own.

    >>> from quickthorn.simulations.scenario import Scenario
    >>> is_own(Scenario(model="models:wide")), is_own(Scenario(model="mlp"))
    (True, False)
    """
    return ":" in scenario.model


def make_own(scenario: Scenario, data: Dataset) -> torch.nn.Module:
    """Call the user's factory under the scenario's seed.

    Raises
    ------
    ConfigurationError
        If it cannot be imported, raises, or returns what is no model.

    """
    shape, classes = data.features.shape[1:], len(data.classes)
    try:
        factory = resolve(scenario.model)
    except ConfigurationError as error:
        msg = f"model of a scenario: {error}"
        if isinstance(error.__cause__, ModuleNotFoundError):
            msg += " The module must be installed or in the current folder."
        raise ConfigurationError(msg) from error
    needed = "It must be a function of (sample shape, number of classes) to a torch.nn.Module"
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(scenario.seed)
        with blamed(
            scenario, f"as it was made for samples of shape {shape} and {classes} classes", needed
        ):
            model = factory(shape, classes)
    if not isinstance(model, torch.nn.Module):
        msg = f"{scenario.model} must return a torch.nn.Module; got {type(model).__name__}."
        raise ConfigurationError(msg)
    return model


def rehearse(
    scenario: Scenario, model: torch.nn.Module, data: Dataset, lengths: Collection[int]
) -> None:
    """Try what the scenario will ask of a model of the user's own, and leave it as it was.

    Parameters
    ----------
    scenario
        How it is trained.
    model
        What ``make_own`` returned.
    data
        Samples to try it on.
    lengths
        On how many samples it will be trained, by whomever.

    Raises
    ------
    ConfigurationError
        If it cannot be sent, holds NaN or infinity, does not give one logit per class, or
        cannot be trained: on a batch of one, as batch normalization cannot, only if one will
        occur.

    """
    needed = f"It must map (n, {', '.join(map(str, data.features.shape[1:]))}) float32 to logits "
    needed += f"(n, {len(data.classes)})"
    with blamed(
        scenario, "as its state was read", "It must hold finite floats, in tensors in main memory"
    ):
        before = get_state(model)
        ModelLayout.of(before)
        _refuse_not_finite(before)
    with torch.random.fork_rng(devices=[]):
        for size, words in ((3, "3 samples"), (1, "1 sample")):
            with torch.no_grad(), blamed(scenario, f"as it classified {words}", needed):
                _loss(model.eval(), data, size)
        with blamed(scenario, "as it was trained on a batch of 3 samples", needed):
            torch.autograd.backward(_loss(model.train(), data, 3))
        size, steps = scenario.batch_size, scenario.local_steps
        lonely = next((count for count in lengths if leaves_one(count, size, steps)), None)
        if lonely is not None:
            doing = f"as it was trained on a batch of 1 sample ({lonely} in batches of {size})"
            with blamed(scenario, doing, _advice(scenario, lengths)):
                torch.autograd.backward(_loss(model, data, 1))
    set_state(model, before)
    model.zero_grad(set_to_none=True)


@contextmanager
def blamed(scenario: Scenario, doing: str, needed: str = "") -> Iterator[None]:
    """Turn what a model of the user's own raises into an error that names it.

    A ``RunError`` passes: that a training diverges is no fault of the model's code.

    Example
    -------
    >>> from quickthorn.simulations.scenario import Scenario
    >>> with blamed(Scenario(model="models:wide"), "in round 3", "It must count to 3"):
    ...     [1, 2][2]
    Traceback (most recent call last):
    ...
    quickthorn.strategies.errors.ConfigurationError: model 'models:wide' of a scenario failed \
in round 3: IndexError: list index out of range. It must count to 3.

    """
    try:
        yield
    except RunError:
        raise
    except (Exception, SystemExit) as error:
        if not is_own(scenario):
            raise
        said = " ".join(str(error).split()).rstrip(".")
        if not isinstance(error, QuickthornError):
            said = f"{type(error).__name__}: {said}"
        msg = f"model {scenario.model!r} of a scenario failed {doing}: {said}"
        msg += f"{_place(scenario, error)}. {needed or f'Mend {scenario.model}'}."
        raise ConfigurationError(msg) from error


def leaves_one(samples: int, batch_size: int, local_steps: int) -> bool:
    """Return whether so many samples, cut into batches, give a batch of one that is reached.

    >>> leaves_one(65, 32, 0), leaves_one(65, 32, 2), leaves_one(65, 32, 3), leaves_one(65, 1, 2)
    (True, False, True, True)
    """
    full, rest = divmod(samples, batch_size)
    return batch_size == 1 or (rest == 1 and (not local_steps or local_steps > full))


def _refuse_not_finite(state: State) -> None:
    """Raise an error if a tensor holds NaN or infinity: what is made of it would be refused."""
    odd = [name for name, values in state.items() if not np.isfinite(values).all()]
    if odd:
        msg = f"{odd[0]} holds NaN or infinity."
        raise ConfigurationError(msg)


def _loss(model: torch.nn.Module, data: Dataset, size: int) -> torch.Tensor:
    """Return the loss on the first samples, or raise unless there is one logit per class."""
    batch = data.take(np.arange(size) % len(data))
    logits = model(torch.from_numpy(batch.features))
    expected = (size, len(data.classes))
    if not isinstance(logits, torch.Tensor) or logits.shape != expected:
        tensor = isinstance(logits, torch.Tensor)
        got = f"shape {tuple(logits.shape)}" if tensor else type(logits).__name__
        msg = f"it must give logits of shape {expected}, one per class; got {got}."
        raise ConfigurationError(msg)
    return cross_entropy(logits, torch.from_numpy(batch.labels))


def _advice(scenario: Scenario, lengths: Collection[int]) -> str:
    """Return how to do without batches of one."""
    other = "Use a normalization without batches, such as torch.nn.GroupNorm"
    for size in range(scenario.batch_size + 1, max(lengths) + 1):
        if not any(leaves_one(samples, size, scenario.local_steps) for samples in lengths):
            return f"{other}, or batch_size={size}, which leaves nobody a batch of one"
    return other


def _place(scenario: Scenario, error: BaseException) -> str:
    """Return the last line of the user's module that the error came through, if any."""
    module = sys.modules.get(scenario.model.partition(":")[0])
    file = getattr(module, "__file__", None)
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == file]
    return f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""
