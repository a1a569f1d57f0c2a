"""All that the record of a run holds about one client: the evidence, round by round."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from quickthorn.server.entries import Entry, Participant
    from quickthorn.server.store import RunStore
    from quickthorn.strategies.reputation import Change, Standing
    from quickthorn.strategies.updates import Score, Verdict


@dataclass(frozen=True)
class Page:
    """One round.

    Attributes
    ----------
    number, at
        Of the round, and when it was recorded.
    standing
        After it; None where the client was not known yet.
    verdicts
        On the client's training replies.
    influence
        Its share in the update; None where it had none, or the rule has no such notion.
    scores
        By signal; none where no update was accepted.

    """

    number: int
    at: str
    standing: Standing | None
    verdicts: tuple[Verdict, ...]
    influence: float | None
    scores: tuple[Score, ...]

    @property
    def score(self) -> float | None:
        """Return the score of this round alone, if it has one."""
        return None if self.standing is None else self.standing.score


@dataclass(frozen=True)
class Dossier:
    """One client over a whole run.

    Attributes
    ----------
    client
        Who it is.
    pages
        One per recorded round, in order.
    changes
        Of its state, proposals of a quarantine among them.
    decisions
        Of people about it, those that were refused or not read too.

    """

    client: Participant
    pages: tuple[Page, ...]
    changes: tuple[Change, ...]
    decisions: tuple[Entry, ...]

    @property
    def standing(self) -> Standing | None:
        """Return how it stands after the last round."""
        return self.pages[-1].standing if self.pages else None

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {
            "id": self.client.id,
            "name": self.client.name,
            "standing": self.standing and asdict(self.standing),
            "changes": [asdict(change) for change in self.changes],
            "decisions": [
                {**asdict(entry.decision), "round": entry.round, "refused": entry.refused}
                for entry in self.decisions
            ],
            "rounds": [asdict(page) for page in self.pages],
        }


def read_dossier(store: RunStore, client: Participant) -> Dossier:
    """Read what the record holds about ``client``."""
    rounds = store.rounds()
    standings = dict(store.ledger.standings(client=client.id))
    verdicts: dict[int, list[Verdict]] = {}
    for number, phase, verdict in store.verdicts(client=client.id):
        if phase == "train":
            verdicts.setdefault(number, []).append(verdict)
    scores: dict[int, list[Score]] = {}
    for number, score in store.scores(client=client.id):
        scores.setdefault(number, []).append(score)
    pages = [
        Page(
            number,
            at,
            standings.get(number),
            tuple(verdicts.get(number, ())),
            store.influence(number).get(client.id),
            tuple(scores.get(number, ())),
        )
        for number, at in ((row["number"], row["at"]) for row in rounds)
    ]
    return Dossier(
        client,
        tuple(pages),
        tuple(
            change
            for change in store.ledger.changes()
            # A round may have been recorded since they were read.
            if change.client == client.id and rounds and change.round <= rounds[-1]["number"]
        ),
        tuple(entry for entry in store.ledger.decisions() if entry.decision.client == client.id),
    )
