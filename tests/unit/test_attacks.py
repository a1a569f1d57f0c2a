"""The attacks of a single client."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from quickthorn.simulations.attacks.label_flip import label_flip
from quickthorn.simulations.attacks.scaling import scale_state
from quickthorn.strategies.errors import ConfigurationError, UpdateError

if TYPE_CHECKING:
    from quickthorn.client.models import State


def test_labels_are_mirrored() -> None:
    labels = np.array([0, 1, 4, 9])
    flipped = label_flip(labels, 10)
    assert flipped.tolist() == [9, 8, 5, 0]
    assert flipped.dtype == labels.dtype
    assert labels.tolist() == [0, 1, 4, 9]
    assert label_flip(flipped, 10).tolist() == labels.tolist()


@pytest.mark.parametrize("labels", [[0, 2], [-1, 0]])
def test_labels_out_of_range_are_refused(labels: list[int]) -> None:
    with pytest.raises(ConfigurationError, match="labels 0 to 1"):
        label_flip(np.array(labels), 2)


def test_an_update_is_boosted_and_buffers_stay() -> None:
    sent: State = {
        "w": np.array([1.0, 2.0], np.float32),
        "half": np.array([1.0], np.float16),
        "count": np.array(3),
        "mask": np.array([True]),
    }
    trained: State = {
        "w": np.array([1.5, 1.0], np.float32),
        "half": np.array([1.5], np.float16),
        "count": np.array(5),
        "mask": np.array([False]),
    }
    out = scale_state(sent, trained, 6)
    assert list(out) == list(trained)
    assert out["w"].tolist() == [4.0, -4.0]
    assert out["half"].tolist() == [4.0]
    assert out["count"] == 5
    assert out["mask"].tolist() == [False]
    for key, array in out.items():
        assert array.dtype == trained[key].dtype
        assert array.shape == trained[key].shape
        assert not np.shares_memory(array, trained[key])


def test_a_factor_of_1_is_honest_and_the_average_is_replaced() -> None:
    rng = np.random.default_rng(0)
    sent = {"w": rng.normal(size=5).astype(np.float32)}
    trained = {"w": rng.normal(size=5).astype(np.float32)}
    np.testing.assert_array_equal(scale_state(sent, trained, 1)["w"], trained["w"])
    boosted = scale_state(sent, trained, 4)["w"]
    np.testing.assert_allclose((boosted + 3 * sent["w"]) / 4, trained["w"], rtol=1e-5)


def test_what_float32_cannot_hold_is_infinite() -> None:
    out = scale_state({"w": np.zeros(1, np.float32)}, {"w": np.ones(1, np.float32)}, 1e300)
    assert np.isposinf(out["w"]).all()


def test_states_that_do_not_fit_are_refused() -> None:
    one, two = {"w": np.zeros(1)}, {"w": np.zeros(2)}
    with pytest.raises(UpdateError, match=r"w in one shape; got \(1,\) before, \(2,\) after"):
        scale_state(one, two, 2)
    with pytest.raises(UpdateError, match="got b, w in one only"):
        scale_state(one, {"b": np.zeros(1)}, 2)
    with pytest.raises(ConfigurationError, match="must be finite; got inf"):
        scale_state(one, one, float("inf"))
