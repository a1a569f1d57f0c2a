"""Judge models at the server on samples that it holds itself, as Zeno asks for."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from quickthorn.client.datasets import load_split
from quickthorn.client.models import build_model, set_state
from quickthorn.client.root import draw_root
from quickthorn.client.training import derive_seed, evaluate

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from quickthorn.strategies.wire import ClientSettings

HELD_SAMPLES = 300
"""Thirty of each class where there are ten: a recall then moves in steps of 0.03."""

# Beside the seed, so that this is another draw than that of ``train_on_root``; it may hold some of
# the same samples.
_HELD = (1 << 30) + 1


def judge_on_held(
    settings: ClientSettings, data_dir: str | None = None
) -> Callable[[int, Mapping[str, NDArray[Any]]], tuple[float, list[float]]]:
    """Return the function by which a server judges each update alone.

    The federation's TOML file names it: ``held = "quickthorn.client.held:judge_on_held"``.

    Which data that is: 300 samples of the training half, drawn once by ``settings.seed``, of
    each class its share. The organizations' shares are cut from the same half: it stands for a
    clean set that a server collected, and is not independent of what the organizations have.
    The held-out half stays out of it, so that what ``evaluate`` reports is on new samples.

    Parameters
    ----------
    settings
        Which data set and which model.
    data_dir
        Folder of a data set that is not bundled.

    Returns
    -------
    Callable
        (round, model) to its loss (cross entropy, mean over the samples, in nats) and its recall
        of each class, from 0 to 1.

    Example
    -------
    >>> from quickthorn.client.models import initial_state
    >>> from quickthorn.strategies.wire import ClientSettings
    >>> settings = ClientSettings(dataset="breast_cancer")
    >>> loss, recalls = judge_on_held(settings)(1, initial_state(settings))
    >>> 0.5 < loss < 1.0, len(recalls)
    (True, 2)

    """
    data = load_split(settings.dataset, "train", data_dir)
    held = data.take(draw_root(data.labels, HELD_SAMPLES, derive_seed(settings.seed, _HELD)))
    model = build_model(settings.model, data.features.shape[1:], len(data.classes), settings.seed)

    def judge(_number: int, state: Mapping[str, NDArray[Any]]) -> tuple[float, list[float]]:
        set_state(model, state)
        found = evaluate(model, held)
        return found.loss, [math.nan if value is None else value for value in found.recall]

    return judge
