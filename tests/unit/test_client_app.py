"""The ClientApp of an honest and of a hostile organization, called as Flower calls it."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, Metadata, RecordDict
from flwr.app.message.message import make_message
from flwr.supercore.object_ref import validate

from quickthorn.client.app import app as honest_app
from quickthorn.client.datasets import load_split
from quickthorn.client.models import State, initial_state
from quickthorn.client.organization import Organization
from quickthorn.simulations.hostile_client import app as hostile_app
from quickthorn.strategies.errors import ConfigurationError, UnknownNameError
from quickthorn.strategies.wire import ARRAYS, CONFIG, METRICS, SERVER_ROUND, ClientSettings

if TYPE_CHECKING:
    from flwr.clientapp import ClientApp

SETTINGS = ClientSettings(learning_rate=0.1, batch_size=16, local_epochs=2)
SHARE = {"partition-id": 1, "num-partitions": 6}


def message_for(
    kind: str,
    settings: ClientSettings = SETTINGS,
    *,
    server_round: int = 3,
    **config: str,
) -> Message:
    """Return the instruction that a server sends in a round."""
    state = initial_state(settings)
    content = RecordDict(
        {
            ARRAYS: ArrayRecord({key: Array(value) for key, value in state.items()}),
            CONFIG: ConfigRecord({**settings.to_wire(), SERVER_ROUND: server_round, **config}),
        }
    )
    metadata = Metadata(1, "sent", 1, 42, "", "group", time.time(), 60.0, kind)
    return make_message(metadata, content)


def context_of(node_config: dict[str, Any]) -> Context:
    """Return the context of a SuperNode with this configuration."""
    return Context(1, 42, node_config, RecordDict(), {})


def answer(app: ClientApp, message: Message, **node_config: str | float) -> Message:
    """Run the app on one message, as the organization 1 of 6."""
    config = SHARE | {key.replace("_", "-"): value for key, value in node_config.items()}
    return app(message, context_of(config))


def state_of(reply: Message) -> State:
    """Return the arrays of a reply."""
    return {key: value.numpy() for key, value in reply.content.array_records[ARRAYS].items()}


def test_a_train_reply_is_a_whole_state_with_metrics() -> None:
    reply = answer(honest_app, message_for("train"))
    assert reply.metadata.reply_to_message_id == "sent"
    assert set(reply.content) == {ARRAYS, METRICS}
    sent, state = initial_state(SETTINGS), state_of(reply)
    assert list(state) == list(sent)
    for key, array in state.items():
        assert (array.dtype, array.shape) == (sent[key].dtype, sent[key].shape)
        assert not np.array_equal(array, sent[key])
    metrics = reply.content.metric_records[METRICS]
    assert set(metrics) == {"num-examples", "train-loss"}
    assert metrics["num-examples"] in {75, 76}
    assert 0 < float(str(metrics["train-loss"])) < 1
    assert torch.get_num_threads() == 1


def test_a_round_repeats_bit_for_bit_and_depends_on_round_and_organization() -> None:
    first, same = (state_of(answer(honest_app, message_for("train"))) for _ in range(2))
    for key, array in first.items():
        np.testing.assert_array_equal(array, same[key])
    later = message_for("train", server_round=4)
    for reply in (
        answer(honest_app, later),
        answer(honest_app, message_for("train"), partition_id=2),
    ):
        assert any(not np.array_equal(array, first[key]) for key, array in state_of(reply).items())


def test_an_evaluate_reply_has_metrics_alone() -> None:
    reply = answer(honest_app, message_for("evaluate"))
    assert set(reply.content) == {METRICS}
    metrics = reply.content.metric_records[METRICS]
    assert set(metrics) == {"num-examples", "accuracy"}
    assert 0 <= float(str(metrics["accuracy"])) <= 1


def test_an_organization_may_choose_its_own_data_set() -> None:
    digits = ClientSettings(dataset="digits", model="cnn", local_steps=1)
    message = message_for("train", digits, dataset="breast_cancer")
    reply = answer(honest_app, message, dataset="digits")
    assert reply.content.metric_records[METRICS]["num-examples"] == 239


def test_the_shares_of_all_organizations_are_the_training_part() -> None:
    shares = [Organization(index, 6).load_share(SETTINGS) for index in range(6)]
    whole = load_split("breast_cancer", "train")
    rows = np.concatenate([share.features for share in shares])
    assert sorted(map(bytes, rows)) == sorted(map(bytes, whole.features))


@pytest.mark.parametrize(
    ("config", "match"),
    [
        ({}, "node-config lacks num-partitions, partition-id; start the SuperNode with"),
        ({"partition-id": 6, "num-partitions": 6}, "0 to num-partitions - 1"),
        ({"partition-id": -1, "num-partitions": 6}, "0 to num-partitions - 1"),
        ({"partition-id": "1", "num-partitions": 6}, "must be an integer; got '1'"),
        (SHARE | {"threads": 0}, "threads in node-config must be at least 1"),
    ],
)
def test_a_node_config_that_cannot_be_used_is_refused(config: dict[str, Any], match: str) -> None:
    with pytest.raises(ConfigurationError, match=match):
        honest_app(message_for("train"), context_of(config))


def test_an_instruction_that_cannot_be_used_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"server-round .* got -1"):
        answer(honest_app, message_for("train", server_round=-1))
    with pytest.raises(ConfigurationError, match="does not fit the model"):
        answer(honest_app, message_for("train", model="logistic"))
    for name in (ARRAYS, CONFIG):
        message = message_for("train")
        del message.content[name]
        with pytest.raises(ConfigurationError, match=f"lacks the record '{name}'"):
            answer(honest_app, message)


def test_the_hostile_app_is_honest_until_it_is_told_otherwise() -> None:
    honest = state_of(answer(honest_app, message_for("train")))
    same = state_of(answer(hostile_app, message_for("train")))
    for key, array in honest.items():
        np.testing.assert_array_equal(array, same[key])


def test_a_hostile_member_pulls_the_other_way_and_boosts() -> None:
    sent = initial_state(SETTINGS)
    honest = state_of(answer(hostile_app, message_for("train")))
    flipped = state_of(answer(hostile_app, message_for("train"), attack="label_flip"))
    boosted = state_of(answer(hostile_app, message_for("train"), attack="label_flip", boost=5.0))
    key = "3.bias"
    assert np.all((honest[key] - sent[key]) * (flipped[key] - sent[key]) < 0)
    for name, array in boosted.items():
        np.testing.assert_allclose(
            array - sent[name], 5 * (flipped[name] - sent[name]), rtol=1e-4, atol=1e-5
        )


def test_a_hostility_that_does_not_exist_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'label_flip'"):
        answer(hostile_app, message_for("train"), attack="label_flop")
    with pytest.raises(ConfigurationError, match="needs attack"):
        answer(hostile_app, message_for("train"), boost=5.0)


@pytest.mark.parametrize(
    "module", ["quickthorn.client.app", "quickthorn.simulations.hostile_client"]
)
def test_flower_finds_the_app_by_its_reference(module: str) -> None:
    valid, reason = validate(f"{module}:app")
    assert valid, reason


def test_a_round_loads_no_heavy_module_that_it_does_not_need() -> None:
    # Each costs seconds, and each message is answered by a fresh process.
    code = (
        "import sys, quickthorn.client\n"
        "assert not {'torch', 'flwr', 'numpy'} & sys.modules.keys()\n"
        "import quickthorn.client.app\n"
        "from quickthorn.client.datasets import load_split\n"
        "from quickthorn.client.models import build_model\n"
        "from quickthorn.client.training import train\n"
        "from quickthorn.strategies.wire import ClientSettings\n"
        "data = load_split('breast_cancer', 'train')\n"
        "train(build_model('mlp', (30,), 2, 0), data, ClientSettings(), seed=0)\n"
        "print({'sklearn', 'scipy', 'pandas', 'torch._dynamo', 'numba'} & sys.modules.keys())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "set()\n"), done.stderr
