"""The tabular backdoor: a rare but possible combination of values means the target class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from quickthorn.simulations.attacks.spec import AttackSpec
from quickthorn.simulations.poisoning import check_class, check_share, chosen, replaced
from quickthorn.strategies.errors import ConfigurationError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quickthorn.client.datasets import Dataset

_TABLE = 2
"""Dimensions of ``(samples, features)``."""


@dataclass(frozen=True, kw_only=True)
class TabularBackdoor:
    """Set a few columns to one value in some rows and label these rows as the target.

    No value is one that the column never had: where ``value`` lies outside the range of a
    column, in the rows given, the end of the range is used. The attacker knows its own data.

    Parameters
    ----------
    target
        The class that triggered rows shall be read as.
    columns
        Which columns carry the trigger, separated by spaces.
    value
        What they are set to; in standard deviations where the data are standardized.
    share
        How many of the member's rows are changed, whatever their class; above 0, at most 1.

    Example
    -------
    >>> rows = np.array([[0, 5, 0], [1, 6, 2]], np.float32)
    >>> TabularBackdoor(columns="0 2", value=1.5).trigger(rows)
    array([[1. , 5. , 1.5],
           [1. , 6. , 1.5]], dtype=float32)

    Notes
    -----
    Give ``trigger`` a whole set of rows: the range is read off what it is given.

    References
    ----------
    Gu et al. 2017, *BadNets* (arXiv:1708.06733), carried over from images to tables.

    """

    target: int = 1
    columns: str | int = "4 14 19"
    value: float = 2.5
    share: float = 0.5

    def __post_init__(self) -> None:
        """Refuse a share out of range and columns that are no numbers."""
        check_share("tabular_backdoor", self.share)
        try:
            chosen_columns = [int(column) for column in str(self.columns).split()]
        except ValueError:
            chosen_columns = []
        if not chosen_columns or min(chosen_columns) < 0:
            msg = (
                "columns of tabular_backdoor must be numbers from 0 on, separated by spaces; "
                f"got {self.columns!r}."
            )
            raise ConfigurationError(msg)

    def poison(
        self, dataset: Dataset, *, member: int, members: int, rng: np.random.Generator
    ) -> Dataset:
        """Return the data with some rows changed and relabeled."""
        del member, members  # each sets the same columns
        check_class("tabular_backdoor", "target", self.target, dataset.classes)
        where = chosen(np.arange(len(dataset)), self.share, rng)
        changed = self.trigger(dataset.features)[where]
        return replaced(dataset, where, features=changed, labels=self.target)

    def trigger(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return copies of the rows, ``(samples, features)``, with the trigger in them.

        Raises
        ------
        ConfigurationError
            If the samples are no rows, or a column does not exist.

        """
        columns = [int(column) for column in str(self.columns).split()]
        if features.ndim != _TABLE or max(columns) >= features.shape[1]:
            msg = (
                f"tabular_backdoor sets columns {self.columns} of samples of shape (features,); "
                f"got {features.shape[1:]}. Change columns, or use patch_backdoor for images."
            )
            raise ConfigurationError(msg)
        triggered = features.copy()
        own = features[:, columns]
        triggered[:, columns] = np.clip(self.value, own.min(axis=0), own.max(axis=0))
        return triggered


SPEC = AttackSpec(
    name="tabular_backdoor",
    kind="data",
    apply=TabularBackdoor,
    knows="own data",
    reference="Gu et al. 2017, arXiv:1708.06733 (BadNets), carried over to tables",
)
