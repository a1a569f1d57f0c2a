"""The settings of local training survive the wire and are judged on arrival."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import Any

import numpy as np
import pytest

from quickthorn.client.datasets import DATASETS, describe
from quickthorn.client.models import build_model
from quickthorn.client.optimizers import build_optimizer
from quickthorn.client.partition import partition
from quickthorn.strategies.errors import ConfigurationError
from quickthorn.strategies.wire import CHOICES, ClientSettings


def test_settings_survive_the_wire() -> None:
    settings = ClientSettings(dataset="digits", momentum=0.9, local_steps=7, seed=3)
    assert ClientSettings.from_wire(settings.to_wire()) == settings
    assert settings.to_wire() == asdict(settings)
    assert {type(value) for value in settings.to_wire().values()} <= {str, int, float}


def test_keys_of_others_are_left_alone() -> None:
    record = {**ClientSettings().to_wire(), "server-round": 3, "other": b"x"}
    assert ClientSettings.from_wire(record) == ClientSettings()


def test_an_integer_is_a_number() -> None:
    assert ClientSettings.from_wire({"learning_rate": 1}).learning_rate == 1.0


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("batch_size", 0, "batch_size in .client. must be at least 1; got 0"),
        ("local_epochs", 0, "local_epochs in .client. must be at least 1; got 0"),
        ("shards_per_client", 0, "at least 1"),
        ("local_steps", -1, "at least 0"),
        ("seed", -1, "seed in .client. must be from 0 to 9223372036854775807; got -1"),
        ("seed", 2**63, "must be from 0 to"),
        ("momentum", -0.1, "at least 0"),
        ("weight_decay", -1.0, "at least 0"),
        ("gamma", -0.1, "at least 0"),
        ("gamma", 1.1, "gamma in .client. must be at most 1; got 1.1"),
        ("tail_factor", 0.0, "above 0"),
        ("tail_factor", 2.0, "at most 1"),
        ("alpha", 0.0, "alpha in .client. must be above 0; got 0.0"),
        ("learning_rate", -1.0, "above 0"),
        ("learning_rate", float("nan"), "a finite number; got nan"),
        ("batch_size", "32", "must be an integer; got '32'"),
        ("batch_size", True, "must be an integer; got True"),
        ("dataset", 3, "must be a text; got 3"),
    ],
)
def test_a_value_out_of_range_is_refused(key: str, value: Any, message: str) -> None:  # noqa: ANN401 - wrong on purpose
    assert key in {field.name for field in fields(ClientSettings)}
    with pytest.raises(ConfigurationError, match=message):
        ClientSettings.from_wire({key: value})


def test_the_names_that_the_wire_accepts_are_those_that_the_client_knows() -> None:
    for dataset in CHOICES["dataset"]:
        assert describe(dataset).classes
    assert set(DATASETS) == set(CHOICES["dataset"])
    for model in CHOICES["model"]:
        assert build_model(model, (1, 8, 8), 10, 0)
    labels = np.arange(40) % 4
    for scheme in CHOICES["partition"]:
        assert len(partition(labels, 4, scheme, seed=0)) == 4
    for optimizer in CHOICES["optimizer"]:
        assert callable(build_optimizer([], ClientSettings(optimizer=optimizer)).step)
