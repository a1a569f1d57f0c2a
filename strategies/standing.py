"""The words in which reputation is spoken of: policy, limits, decisions, standings, changes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from quickthorn.strategies.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

STATES = ("probation", "healthy", "watch", "quarantined", "banned")
AUTOMATIC = ("observe", "propose", "quarantine")
ACTIONS = ("quarantine", "readmit", "ban")

# Who acts where no person does.
QUICKTHORN = "quickthorn"


@dataclass(frozen=True)
class Policy:
    """When a client changes its state without a person.

    Attributes
    ----------
    automatic
        ``"observe"``: up to ``watch`` only. ``"propose"``: a quarantine waits for a person.
        ``"quarantine"``: it happens by itself, within the limits.
    watch
        From this evidence on a client is watched. Honest clients reach 0.95 in few of their
        rounds, with the most unequal data in one of ten; to be watched costs nothing.
    quarantine
        From this evidence on, in another round than its first in watch, it is quarantined, or
        that is proposed. Honest clients reach 0.99 in 1 % of their rounds, at most, whatever the
        split; see docs/explanation/reputation.md.
    calm
        A round with less evidence than this is calm.
    calm_rounds
        Calm rounds in a row, of those in which it was scored, that lead one state back: from
        quarantined to watch, from watch to healthy.
    probation_rounds
        The same, from probation to healthy.
    expiry
        Rounds after which an automatic quarantine ends, unless the evidence still holds.
    memory
        For how many of its own rounds a client's past counts.

    """

    automatic: str = "propose"
    watch: float = 0.95
    quarantine: float = 0.99
    calm: float = 0.9
    calm_rounds: int = 5
    probation_rounds: int = 3
    expiry: int = 20
    memory: int = 20

    def __post_init__(self) -> None:
        """Check the thresholds.

        Raises
        ------
        ConfigurationError
            If they are not in order, or a number of rounds is not positive.

        """
        if self.automatic not in AUTOMATIC:
            msg = f"automatic must be one of {', '.join(AUTOMATIC)}; got {self.automatic!r}."
            raise ConfigurationError(msg)
        if not 0 < self.calm <= self.watch <= self.quarantine < 1:
            got = f"{self.calm}, {self.watch}, {self.quarantine}"
            msg = f"a policy needs 0 < calm <= watch <= quarantine < 1; got {got}."
            raise ConfigurationError(msg)
        for name in ("calm_rounds", "probation_rounds", "expiry", "memory"):
            if getattr(self, name) < 1:
                msg = f"{name} must be 1 or more rounds; got {getattr(self, name)}."
                raise ConfigurationError(msg)


@dataclass(frozen=True)
class Limits:
    """What no automatic quarantine may break.

    Attributes
    ----------
    byzantine
        f: at most so many organizations are removed automatically at a time.
    min_clients
        So many votes, one per organization, must remain for the defense.
    organizations
        Client to its organization; whoever is missing is its own.

    """

    byzantine: int
    min_clients: int
    organizations: Mapping[str, str] = field(default_factory=dict)

    def organization(self, client: str) -> str:
        """Return whose vote the client's is.

        >>> Limits(1, 3, {"node-1": "hospital"}).organization("node-1")
        'hospital'
        """
        return self.organizations.get(client, client)


@dataclass(frozen=True)
class Decision:
    """What a person decided about one client.

    Attributes
    ----------
    client
        Whom it concerns.
    action
        ``"quarantine"``, ``"readmit"`` or ``"ban"``.
    who, why, at
        The person, the reason and the time in ISO 8601, for the record.

    """

    client: str
    action: str
    who: str
    why: str
    at: str

    def __post_init__(self) -> None:
        """Check the action.

        Raises
        ------
        ConfigurationError
            If there is no such action.

        """
        if self.action not in ACTIONS:
            msg = f"action must be one of {', '.join(ACTIONS)}; got {self.action!r}."
            raise ConfigurationError(msg)


@dataclass(frozen=True)
class Standing:
    """How one client stands after one round.

    Attributes
    ----------
    client, state
        Who, and one of ``STATES``.
    since
        The round in which it came into this state.
    rounds
        In how many rounds it was scored, or refused as hostile.
    score
        Of this round alone, in [0, 1]; None where it was neither scored nor refused as hostile.
    evidence
        Of all rounds, in [0, 1].
    strength
        Of all rounds, without bound, to rank by.
    reason
        What stands out, in words with figures; else ``""``.
    techniques
        What it resembles, for instance ``"ATLAS AML.T0020"``.
    proposed
        Whether a quarantine waits for a person.

    """

    client: str
    state: str
    since: int
    rounds: int
    score: float | None
    evidence: float
    strength: float
    reason: str = ""
    techniques: tuple[str, ...] = ()
    proposed: bool = False


@dataclass(frozen=True)
class Change:
    """A change of one client's state, or why there was none.

    Attributes
    ----------
    client, round
        Who, and after which round.
    before, after
        The states; ``before`` is ``""`` where the client is not known. They are the same where
        a decision was refused, a quarantine is proposed or renewed, or a limit holds.
    who
        ``"quickthorn"`` or the person.
    why
        One sentence.
    refused
        Whether a person's decision could not be carried out.

    """

    client: str
    round: int
    before: str
    after: str
    who: str
    why: str
    refused: bool = False
