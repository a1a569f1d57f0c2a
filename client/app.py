"""The Flower ``ClientApp`` of an honest organization.

``app`` is what a Flower project names: ``clientapp = "quickthorn.client.app:app"``.
It answers ``train`` and ``evaluate`` and replies with whole states, as any Flower app does,
so that it works under Flower's own strategies too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import torch
from flwr.app import Array, ArrayRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from quickthorn.client.models import State, build_model, get_state, set_state
from quickthorn.client.optimizers import build_optimizer
from quickthorn.client.organization import Organization
from quickthorn.client.training import derive_seed, evaluate, fit
from quickthorn.strategies.errors import ConfigurationError
from quickthorn.strategies.wire import (
    ARRAYS,
    CONFIG,
    METRICS,
    NUM_EXAMPLES,
    SERVER_ROUND,
    ClientSettings,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from flwr.app import ConfigRecord, Context

    from quickthorn.client.datasets import Dataset
    from quickthorn.client.optimizers import Optimizer

DataHook: TypeAlias = "Callable[[Dataset, Context], Dataset]"
"""(the organization's share, context) -> what to train on."""

TrainingHook: TypeAlias = "Callable[[Optimizer, Sequence[torch.Tensor], Context], Optimizer]"
"""(optimizer, the parameters that it trains, as the server sent them, context) -> optimizer."""

UpdateHook: TypeAlias = "Callable[[State, State, Context], State]"
"""(state that the server sent, trained state, context) -> state to reply with."""


def make_app(
    *,
    poison_data: DataHook | None = None,
    poison_training: TrainingHook | None = None,
    poison_update: UpdateHook | None = None,
) -> ClientApp:
    """Build the app of an organization.

    Parameters
    ----------
    poison_data, poison_training, poison_update
        Hooks for simulated attackers, before, in and after local training. An honest
        organization has none; the attacks themselves are in ``quickthorn.simulations``.

    Returns
    -------
    ClientApp
        A train message needs the records ``arrays`` (the model's state) and ``config``
        (``ClientSettings.to_wire()`` and ``server-round``). The reply has ``arrays`` (the
        trained state, same names, shapes and dtypes) and ``metrics`` (``num-examples``,
        ``train-loss``). An evaluate message is the same; its reply has ``metrics`` alone
        (``num-examples``, ``accuracy`` on the organization's own share). A setting that
        cannot be used raises a ``ConfigurationError``, which Flower turns into an error reply.

    Example
    -------
    >>> app = make_app()

    """
    app = ClientApp()

    @app.train()
    def train_on_share(message: Message, context: Context) -> Message:
        organization, settings = _prepare(message, context)
        data = organization.load_share(settings)
        if poison_data:
            data = poison_data(data, context)
        sent = _received_state(message)
        model = _build(settings, data, sent)
        seed = derive_seed(settings.seed, organization.partition_id, _server_round(message))
        optimizer = build_optimizer(model.parameters(), settings)
        if poison_training:
            trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
            optimizer = poison_training(optimizer, trained, context)
        result = fit(model, data, settings, optimizer=optimizer, seed=seed)
        state = get_state(model)
        if poison_update:
            state = poison_update(sent, state, context)
        metrics = {NUM_EXAMPLES: result.samples, "train-loss": result.loss}
        arrays = ArrayRecord({key: Array(value) for key, value in state.items()})
        content = RecordDict({ARRAYS: arrays, METRICS: MetricRecord(dict(metrics))})
        return Message(content, reply_to=message)

    @app.evaluate()
    def evaluate_on_share(message: Message, context: Context) -> Message:
        organization, settings = _prepare(message, context)
        data = organization.load_share(settings)
        result = evaluate(_build(settings, data, _received_state(message)), data)
        metrics = MetricRecord({NUM_EXAMPLES: result.samples, "accuracy": result.accuracy})
        return Message(RecordDict({METRICS: metrics}), reply_to=message)

    return app


def _prepare(message: Message, context: Context) -> tuple[Organization, ClientSettings]:
    organization = Organization.from_node_config(context.node_config)
    torch.set_num_threads(organization.threads)
    return organization, organization.adapt(ClientSettings.from_wire(_config(message)))


def _config(message: Message) -> ConfigRecord:
    record = message.content.config_records.get(CONFIG)
    if record is None:
        raise _lacking(CONFIG)
    return record


def _server_round(message: Message) -> int:
    value = _config(message).get(SERVER_ROUND)
    if isinstance(value, int) and value >= 0:
        return value
    msg = f"{SERVER_ROUND} in the record {CONFIG!r} must be an integer from 0; got {value!r}."
    raise ConfigurationError(msg)


def _received_state(message: Message) -> State:
    record = message.content.array_records.get(ARRAYS)
    if record is None:
        raise _lacking(ARRAYS)
    return {key: array.numpy() for key, array in record.items()}


def _lacking(name: str) -> ConfigurationError:
    return ConfigurationError(
        f"the message lacks the record {name!r}; the server must send {ARRAYS!r} and {CONFIG!r}."
    )


def _build(settings: ClientSettings, data: Dataset, state: State) -> torch.nn.Module:
    shape = data.features.shape[1:]
    model = build_model(settings.model, shape, len(data.classes), settings.seed)
    set_state(model, state)
    return model


app = make_app()
