"""How the success of a backdoor is counted, and on which samples."""

from __future__ import annotations

import numpy as np
import pytest

from quickthorn.client.datasets import Dataset, load_split
from quickthorn.simulations.attacks.gradient_matching import GradientMatching
from quickthorn.simulations.attacks.label_flip import LabelFlip
from quickthorn.simulations.attacks.patch_backdoor import PatchBackdoor
from quickthorn.simulations.attacks.tabular_backdoor import TabularBackdoor
from quickthorn.simulations.attacks.tail_backdoor import TailBackdoor
from quickthorn.simulations.backdoor import aimed, attack_success, probe_of
from quickthorn.strategies.errors import ConfigurationError

TEST = load_split("digits", "test")


def test_samples_of_the_target_class_do_not_count() -> None:
    labels = np.array([0, 0, 0, 1, 1])
    always = np.zeros(5, np.int64)
    assert attack_success(always, labels, 0) == 1.0
    assert attack_success(always, labels, 1) == 0.0
    # Of all five samples three are read as 0, but each of them is a 0.
    assert attack_success(labels, labels, 0) == 0.0


@pytest.mark.parametrize(
    ("predictions", "labels", "match"),
    [
        ([0, 1], [0], r"one prediction per label; got shapes \(2,\) and \(1,\)"),
        ([[0]], [[0]], "one prediction per label"),
        ([1, 1], [0, 0], "another class than the target 0; got 2 samples"),
        ([], [], "got 0 samples"),
    ],
)
def test_what_cannot_be_counted_is_refused(
    predictions: list[int], labels: list[int], match: str
) -> None:
    with pytest.raises(ConfigurationError, match=match):
        attack_success(np.array(predictions), np.array(labels), 0)


def test_a_trigger_is_probed_on_every_sample_of_another_class() -> None:
    attack = PatchBackdoor(target=4)
    probe = probe_of(attack, TEST)
    assert probe is not None
    others = TEST.labels != 4
    assert probe.labels.tolist() == TEST.labels[others].tolist()
    np.testing.assert_array_equal(probe.features, attack.trigger(TEST.features[others]))


def test_a_trigger_is_the_same_whatever_samples_are_left_out() -> None:
    test = load_split("breast_cancer", "test")
    attack = TabularBackdoor()
    probe = probe_of(attack, test)
    assert probe is not None
    others = test.labels != attack.target
    np.testing.assert_array_equal(probe.features, attack.trigger(test.features)[others])
    assert (probe.features != attack.trigger(test.features[others])).any()


def test_a_backdoor_without_a_trigger_names_its_samples() -> None:
    probe = probe_of(TailBackdoor(source=7, target=1, tail=0.2), TEST)
    assert probe is not None
    assert set(probe.labels.tolist()) == {7}
    assert len(probe) == np.ceil(0.2 * np.sum(TEST.labels == 7))


def test_an_attack_that_aims_is_probed_on_its_one_sample() -> None:
    attack = aimed(GradientMatching(source=7, target=1, victim=3), TEST)
    probe = probe_of(attack, TEST)
    assert probe is not None
    assert probe.labels.tolist() == [7]
    fourth = np.flatnonzero(TEST.labels == 7)[3]
    np.testing.assert_array_equal(probe.features[0], TEST.features[fourth])


def test_an_attack_that_opens_no_backdoor_has_no_probe() -> None:
    attack = LabelFlip(mode="pair", source=7, target=1)
    assert aimed(attack, TEST) is attack
    assert probe_of(attack, TEST) is None


def test_a_test_set_of_the_target_class_alone_is_refused() -> None:
    fours = TEST.take(np.flatnonzero(TEST.labels == 4))
    with pytest.raises(ConfigurationError, match="all test samples are of class 4"):
        probe_of(PatchBackdoor(target=4), fours)
    with pytest.raises(ConfigurationError, match="test samples of class 7; there are none"):
        probe_of(TailBackdoor(source=7), fours)


@pytest.mark.parametrize("victim", [-1, 36])
def test_a_victim_that_does_not_exist_is_refused(victim: int) -> None:
    count = int(np.sum(TEST.labels == 7))
    assert count == 36
    with pytest.raises(ConfigurationError, match=f"must be 0 to 35, .* class 7; got {victim}"):
        aimed(GradientMatching(source=7, victim=victim), TEST)


def test_a_class_that_the_test_set_lacks_is_refused() -> None:
    tiny = Dataset(np.zeros((2, 3), np.float32), np.array([0, 1]), ("a", "b"))
    with pytest.raises(ConfigurationError, match="source of tail_backdoor must be 0 to 1"):
        probe_of(TailBackdoor(source=7, target=1), tiny)
