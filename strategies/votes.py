"""Who votes in a round: every organization once, with all of its nodes, and nobody excluded."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from quickthorn.strategies.errors import UpdateError
from quickthorn.strategies.kernels.rows import mix

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from numpy.typing import NDArray

    from quickthorn.strategies.kernels.rows import Rows


@dataclass(frozen=True, eq=False)
class Votes:
    """The votes of one round, and whose updates each of them is the mean of.

    ``byzantine`` counts organizations that lie. One that runs several nodes has one vote, the
    mean of their updates, so that it is one liar and not several. A vote lies in the order of
    its first client and has a name that lasts: that of the organization, whichever of its
    nodes take part.

    Attributes
    ----------
    names
        (m,) the organizations, or the clients that are their own.
    members
        m ascending lists of rows, none of them empty; no row is in two.
    clients
        n, the number of rows, of which some may be in no list.

    Example
    -------
    >>> votes = Votes.of("abcd", excluded={"b"}, organizations={"a": "North", "d": "North"})
    >>> votes.names, votes.members, votes.clients
    (('North', 'c'), ((0, 3), (2,)), 4)

    """

    names: tuple[str, ...]
    members: tuple[tuple[int, ...], ...]
    clients: int

    @classmethod
    def of(
        cls,
        clients: Sequence[str],
        *,
        excluded: Collection[str] = frozenset(),
        organizations: Mapping[str, str] = MappingProxyType({}),
    ) -> Votes:
        """Count the votes.

        Parameters
        ----------
        clients
            n ids, in the order of the rows.
        excluded
            Those who have no vote, in quarantine say; others than ``clients`` may be among them.
        organizations
            Client id to the name of its organization; whoever is not in it is its own.

        """
        members: dict[str, list[int]] = {}
        for row, client in enumerate(clients):
            if client not in excluded:
                members.setdefault(organizations.get(client, client), []).append(row)
        return cls(tuple(members), tuple(map(tuple, members.values())), len(clients))

    def __len__(self) -> int:
        return len(self.names)

    def check_rows(self, n: int) -> None:
        """Raise an ``UpdateError`` unless these are the votes of ``n`` rows."""
        if n != self.clients:
            msg = (
                f"votes of {self.clients} clients do not fit updates of {n} rows; "
                "make them of the clients of these rows."
            )
            raise UpdateError(msg)

    @cached_property
    def shares(self) -> NDArray[np.float64]:
        """Return the (m, n) matrix whose row i takes the mean over the members of vote i."""
        shares = np.zeros((len(self), self.clients))
        for share, rows in zip(shares, self.members, strict=True):
            share[list(rows)] = 1.0 / len(rows)
        return shares

    def rows(self, values: Rows) -> Rows:
        """Return the (m, d) votes of (n, d) updates, computed where somebody looks.

        Where every client is a vote, these are the updates themselves.
        """
        return values if len(self) == self.clients else mix(self.shares, values)

    def claims(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the (m,) claimed sample counts: the sum of those that can be one.

        >>> votes = Votes.of("abc", organizations={"a": "North", "c": "North"})
        >>> votes.claims(np.array([10.0, 7.0, 30.0])), votes.claims(np.array([10.0, 7.0, -5.0]))
        (array([40.,  7.]), array([10.,  7.]))
        """
        with np.errstate(over="ignore"):
            return np.array([_total(weights[list(rows)]) for rows in self.members])

    def by_client(self, influence: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the (n,) shares of the clients: nodes of one organization have equal ones."""
        shared = np.zeros(self.clients)
        for share, rows in zip(influence, self.members, strict=True):
            shared[list(rows)] = share / len(rows)
        return shared


def _total(claims: NDArray[np.float64]) -> float:
    """Return the only claim as it is; of several, those that are no sample count are left out."""
    if len(claims) == 1:
        return float(claims[0])
    return float(claims[np.isfinite(claims) & (claims > 0)].sum())
