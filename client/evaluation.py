"""Judge a global model on the data set's held-out half, which no organization trains on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from quickthorn.client.datasets import load_split
from quickthorn.client.models import build_model, set_state
from quickthorn.client.training import evaluate

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from quickthorn.strategies.wire import ClientSettings


def held_out(
    settings: ClientSettings, data_dir: str | None = None
) -> Callable[[int, Mapping[str, NDArray[Any]]], dict[str, float]]:
    """Return the function that a server calls after each round with the new model.

    The federation's TOML file names it: ``evaluate = "quickthorn.client.evaluation:held_out"``.

    Parameters
    ----------
    settings
        Which data set and which model.
    data_dir
        Folder of a data set that is not bundled.

    Returns
    -------
    Callable
        (round, model) to ``accuracy`` and one ``recall-<class>`` per class, each from 0 to 1.
        Recall per class is there because a flipped class hardly moves the accuracy.

    Example
    -------
    >>> from quickthorn.client.models import initial_state
    >>> from quickthorn.strategies.wire import ClientSettings
    >>> settings = ClientSettings(dataset="breast_cancer")
    >>> sorted(held_out(settings)(0, initial_state(settings)))
    ['accuracy', 'recall-benign', 'recall-malignant']

    """
    data = load_split(settings.dataset, "test", data_dir)
    model = build_model(settings.model, data.features.shape[1:], len(data.classes), settings.seed)

    def judge(_number: int, state: Mapping[str, NDArray[Any]]) -> dict[str, float]:
        set_state(model, state)
        result = evaluate(model, data)
        recalls = zip(data.classes, result.recall, strict=True)
        return {
            "accuracy": result.accuracy,
            **{f"recall-{name}": value for name, value in recalls if value is not None},
        }

    return judge
