"""A model of the user's own: whatever is wrong with it is said, with its name, and early."""

from __future__ import annotations

import dataclasses
import sys
from typing import TYPE_CHECKING, Any

import pytest

from quickthorn.simulations import trainer
from quickthorn.simulations.flower_engine import client_settings
from quickthorn.simulations.tally import draw
from quickthorn.strategies.errors import ConfigurationError
from tests.simulated import SMALL, run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("one_thread", "modules")

TAIL = "tail_backdoor(source=0, target=1)"

MODELS = """
import torch
from torch import nn
from quickthorn.client.models import build_model

class Base(nn.Module):
    def __init__(self, shape, classes):
        super().__init__()
        self.layer = nn.Linear(shape[0], classes)
        self.calls = 0

    def forward(self, x):
        return self.layer(x)

class Squeezed(Base):
    def forward(self, x):
        return self.layer(x).squeeze()

class Pair(Base):
    def forward(self, x):
        return self.layer(x), x

class Tired(Base):
    def forward(self, x):
        self.calls += self.training
        assert self.calls < 40, "too tired"
        return self.layer(x)

class Leaving(Base):
    def forward(self, x):
        raise SystemExit(5)

class Narrow(Base):
    def forward(self, x):
        assert len(x) < 100, "too many"
        return self.layer(x)

class Shared(Base):
    def state_dict(self, **_):
        return {"layer": self.layer}

def normed(shape, classes):
    return nn.Sequential(nn.Linear(shape[0], 8), nn.BatchNorm1d(8), nn.Linear(8, classes))

def lonely(shape):
    return nn.Linear(shape[0], 2)

def broken(shape, classes):
    raise RuntimeError("no network\\nhere.")

def borrowed(shape, classes):
    return build_model("cnn", shape, classes, seed=0)

def text(shape, classes):
    return "a model"

def ten(shape, classes):
    return nn.Linear(shape[0], 10)

def double(shape, classes):
    return nn.Linear(shape[0], classes).double()

def lazy(shape, classes):
    return nn.LazyLinear(classes)

def empty(shape, classes):
    return nn.Flatten()

def spoilt(shape, classes):
    model = nn.Linear(shape[0], classes)
    nn.init.constant_(model.bias, float("nan"))
    return model

def frozen(shape, classes):
    return nn.Linear(shape[0], classes).requires_grad_(False)
"""


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let ``models_of_mine`` and three modules that cannot be imported be importable."""
    monkeypatch.syspath_prepend(tmp_path)
    for name, text in {
        "models_of_mine": MODELS,
        "unfinished": "import torch\ndef factory(",
        "raising": "import torch\ntorch.load('missing.pt')",
        "script": "raise SystemExit(2)  # as argparse does",
    }.items():
        (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
    yield
    sys.modules.pop("models_of_mine", None)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("nowhere:f", ("cannot import 'nowhere:f'", "No module named 'nowhere'", "current folder")),
        ("models_of_mine:f", ("'models_of_mine' has no attribute 'f'", "module:function")),
        ("models_of_mine:MODELS", ("has no attribute",)),
        ("unfinished:factory", ("'unfinished:factory': SyntaxError: '(' was never closed",)),
        ("raising:factory", ("'raising:factory': FileNotFoundError:", "missing.pt'. Mend raising")),
        ("script:factory", ("cannot import 'script:factory': SystemExit: 2. Mend script",)),
        ("models_of_mine:Leaving", ("classified 3 samples: SystemExit: 5 (", "py, line ")),
        ("models_of_mine:lonely", ("2 were given", "(30,)", "(sample shape, number of classes)")),
        ("models_of_mine:broken", ("RuntimeError: no network here (", "models_of_mine.py, line ")),
        ("models_of_mine:borrowed", ("classes: the cnn needs images", "models_of_mine.py, line ")),
        ("models_of_mine:text", ("must return a torch.nn.Module; got str",)),
        (
            "models_of_mine:ten",
            ("classified 3 samples: it must", "got shape (3, 10). It must map (n, 30)"),
        ),
        (
            "models_of_mine:Squeezed",
            ("1 sample: it must give logits of shape (1, 2)", "got shape (2,)"),
        ),
        ("models_of_mine:Pair", ("got tuple",)),
        ("models_of_mine:double", ("same dtype", "It must map (n, 30) float32 to logits (n, 2)")),
        ("models_of_mine:lazy", ("uninitialized parameter", "main memory")),
        ("models_of_mine:Shared", ("'Linear' object has no attribute 'detach'", "main memory")),
        ("models_of_mine:empty", ("as its state was read: the model has no floating-point",)),
        ("models_of_mine:spoilt", ("as its state was read: bias holds NaN", "hold finite floats")),
        ("models_of_mine:frozen", ("does not require grad", "as it was trained on a batch of")),
    ],
)
def test_what_is_wrong_with_it_is_said_with_its_name(model: str, words: tuple[str, ...]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        run(model=model, batch_size=30)
    for part in (model, *words):
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)
    assert ("current folder" in str(caught.value)) == (model == "nowhere:f")


def test_a_batch_of_one_that_it_cannot_take_is_refused_with_a_way_out() -> None:
    with pytest.raises(ConfigurationError, match="more than 1 value per channel") as caught:
        run(model="models_of_mine:normed", batch_size=8)
    assert "on a batch of 1 sample (65 in batches of 8): ValueError" in str(caught.value)
    assert "GroupNorm" in str(caught.value)
    # Members have 65 and 64 samples, and 9 would leave one of 64.
    assert "or batch_size=10, which leaves nobody a batch of one." in str(caught.value)
    assert run(model="models_of_mine:normed", batch_size=10).final > 0.5
    with pytest.raises(ConfigurationError, match=r"such as torch.nn.GroupNorm\.$"):
        run(model="models_of_mine:normed", partition="shards", clients=454)
    with pytest.raises(ConfigurationError, match=r"batches of 1\): .* or batch_size=5, which"):
        run(model="models_of_mine:normed", batch_size=1)


def test_what_it_cannot_do_with_any_batch_is_no_fault_of_a_batch_of_one() -> None:
    words = r"trained on a batch of 3 samples: .* It must map \(n, 30\)"
    with pytest.raises(ConfigurationError, match=words):
        run(model="models_of_mine:frozen", batch_size=1)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"defense": "fltrust", "batch_size": 33}, "100 in batches of 33"),
        ({"attackers": 1, "attack": TAIL, "batch_size": 42}, "85 in batches of 42"),
    ],
)
def test_the_root_set_and_poisoned_data_are_cut_into_batches_too(
    changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigurationError, match=rf"a batch of 1 sample \({words}\): ValueError"):
        run(model="models_of_mine:normed", **changes)
    plain = {"defense": "mean", "attack": "none"}
    assert run(model="models_of_mine:normed", **(changes | plain)).final > 0.5


def test_a_batch_of_one_that_never_comes_is_no_fault() -> None:
    model = "models_of_mine:normed"
    assert run(model=model, batch_size=32, local_steps=2).final > 0.5
    # Of 454 samples the first four of six clients have 76, the others 75.
    rare: dict[str, Any] = {"clients": 6, "batch_size": 75, "clients_per_round": 1, "rounds": 1}
    seeds = {draw(dataclasses.replace(SMALL, **rare, seed=seed), 1)[0]: seed for seed in range(20)}
    assert run(model=model, **rare, seed=seeds[5]).verdicts == {"client-5": {"ok": 1}}
    with pytest.raises(ConfigurationError, match=r"a batch of 1 sample \(76 in batches of 75\)"):
        run(model=model, **rare, seed=seeds[2])


def test_the_rehearsal_leaves_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    digest = run(model="models_of_mine:normed", batch_size=30).model_digest
    monkeypatch.setattr(trainer, "rehearse", lambda *_: None)
    assert run(model="models_of_mine:normed", batch_size=30).model_digest == digest


@pytest.mark.parametrize("strategy", ["engine", "flower"])
def test_what_goes_wrong_later_is_said_with_its_name_too(strategy: str) -> None:
    words = r"'models_of_mine:Tired' .* as client-5 trained it in round 2: AssertionError: too ti"
    with pytest.raises(ConfigurationError, match=words):
        run(model="models_of_mine:Tired", strategy=strategy)
    with pytest.raises(ConfigurationError, match=r"as it classified test samples: .* too many"):
        run(model="models_of_mine:Narrow", strategy=strategy)


def test_flowers_own_engine_does_not_know_it() -> None:
    with pytest.raises(ConfigurationError, match="cannot run this scenario's model; use ours"):
        client_settings(dataclasses.replace(SMALL, model="models_of_mine:ten"))
