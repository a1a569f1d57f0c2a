"""One organization's place in the federation, and its share of the data. No Flower here."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

from quickthorn.client.datasets import Dataset, load_split
from quickthorn.client.partition import partition
from quickthorn.strategies.errors import ConfigurationError
from quickthorn.strategies.settings import read_settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from quickthorn.strategies.wire import ClientSettings


@dataclass(frozen=True)
class Organization:
    """What an organization sets for itself, in Flower's ``--node-config``.

    Attributes
    ----------
    partition_id
        ``partition-id``: which share is its own, from 0.
    num_partitions
        ``num-partitions``: how many shares there are.
    data_dir
        ``data-dir``: the folder with its data files; only MNIST needs one.
    dataset
        ``dataset``: use this data set, whatever the server says; empty follows the server.
    threads
        ``threads`` of torch. With one, a training repeats bit for bit and the
        organizations of one machine do not get into each other's way.

    """

    partition_id: int
    num_partitions: int
    data_dir: str = ""
    dataset: str = ""
    threads: int = 1

    def __post_init__(self) -> None:
        """Refuse a share that does not exist."""
        if not 0 <= self.partition_id < self.num_partitions:
            msg = (
                "partition-id in node-config must be 0 to num-partitions - 1; got "
                f"partition-id={self.partition_id} of num-partitions={self.num_partitions}."
            )
            raise ConfigurationError(msg)
        if self.threads < 1:
            msg = f"threads in node-config must be at least 1; got {self.threads}."
            raise ConfigurationError(msg)

    @classmethod
    def from_node_config(cls, config: Mapping[str, object]) -> Organization:
        """Read a SuperNode's configuration; other keys belong to others.

        Raises
        ------
        ConfigurationError
            If a key is missing or a value has the wrong type or lies outside its range.

        Example
        -------
        >>> Organization.from_node_config({"partition-id": 2, "num-partitions": 6}).threads
        1

        """
        names = {field.name.replace("_", "-"): field.name for field in dataclasses.fields(cls)}
        missing = {"partition-id", "num-partitions"} - config.keys()
        if missing:
            msg = (
                f"node-config lacks {', '.join(sorted(missing))}; start the SuperNode with "
                "--node-config 'partition-id=0 num-partitions=6', each with its own id."
            )
            raise ConfigurationError(msg)
        own = {names[key]: value for key, value in config.items() if key in names}
        return read_settings(cls, own, where="node-config")

    def adapt(self, settings: ClientSettings) -> ClientSettings:
        """Return the server's settings with this organization's own choice of data set."""
        return dataclasses.replace(settings, dataset=self.dataset) if self.dataset else settings

    def load_share(self, settings: ClientSettings) -> Dataset:
        """Load this organization's share of the training data.

        Parameters
        ----------
        settings
            Data set, partition and seed, as ``adapt`` returns them.

        Raises
        ------
        ConfigurationError
            If the data cannot be loaded or divided so; see ``load_dataset``, ``partition``.

        """
        data = load_split(settings.dataset, "train", self.data_dir)
        shares = partition(
            data.labels,
            self.num_partitions,
            settings.partition,
            alpha=settings.alpha,
            gamma=settings.gamma,
            shards_per_client=settings.shards_per_client,
            tail_factor=settings.tail_factor,
            seed=settings.seed,
        )
        return data.take(shares[self.partition_id])
