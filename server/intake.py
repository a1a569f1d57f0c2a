"""Take the replies of one phase as they come; keep a row, a verdict and the claims of each."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from quickthorn.server.admission import admit, read_metrics
from quickthorn.server.metrics import combine_metrics
from quickthorn.server.storage import reserve
from quickthorn.strategies.updates import MatrixBuilder, UpdateMatrix, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence
    from pathlib import Path

    import numpy as np
    from flwr.app import RecordDict
    from numpy.typing import NDArray

    from quickthorn.server.exchange import Reply
    from quickthorn.server.judgement import Admission, Expectation
    from quickthorn.strategies.updates import Array

# A member can push any number of invented or repeated replies; this many are named, the
# rest counted.
NAMED_STRANGERS = 100


@dataclass(eq=False)
class Intake:
    """What the replies of one phase came to.

    Attributes
    ----------
    accepted
        Client to what was found in its reply, without the arrays.
    verdicts
        One per client, and one per surplus reply, in the order of arrival.
    unsolicited
        How many replies answered nothing that was asked, or answered it again.

    """

    accepted: dict[str, Admission] = field(default_factory=dict)
    verdicts: list[Verdict] = field(default_factory=list)
    unsolicited: int = 0

    def take_all(
        self, replies: Iterable[Reply], judge: Callable[[str, RecordDict], Admission]
    ) -> None:
        """Judge each reply on arrival; afterwards only its row and its claims are left."""
        for reply in replies:
            if not reply.client or reply.code == "duplicate":
                self.unsolicited += reply.count
                if self.unsolicited > NAMED_STRANGERS:
                    continue
            if reply.message is None:
                self._refuse(reply.client, reply.code, reply.reason)
                continue
            if not reply.message.has_content():
                self._refuse(reply.client, "empty", "sent an empty reply")
                continue
            admission = judge(reply.client, reply.message.content)
            sound = admission.code == "ok"
            if sound:
                self.accepted[reply.client] = admission
            self.verdicts.append(
                Verdict(reply.client, sound, admission.code, admission.reason, admission.ignored)
            )

    @classmethod
    def unjudged(cls, clients: Iterable[str], code: str, reason: str) -> Intake:
        """Return the intake of a round in which no reply could be judged."""
        intake = cls()
        for client in clients:
            intake._refuse(client, code, reason)
        return intake

    def _refuse(self, client: str, code: str, reason: str) -> None:
        self.verdicts.append(Verdict(client, accepted=False, code=code, reason=reason))

    def combined_metrics(self, excluded: Collection[str] = ()) -> dict[str, float]:
        """Combine the metrics of all but the ``excluded``; verdicts note what few report."""
        claims = {
            client: found.metrics
            for client, found in self.accepted.items()
            if client not in excluded
        }
        combined, surplus = combine_metrics(claims)
        self.verdicts = [
            replace(verdict, ignored=verdict.ignored + surplus.get(verdict.client, ()))
            if verdict.accepted
            else verdict
            for verdict in self.verdicts
        ]
        return combined


def take_updates(
    replies: Iterable[Reply],
    asked: Sequence[str],
    expected: Expectation,
    values: Array | None = None,
) -> tuple[UpdateMatrix | None, list[NDArray[np.int64]], Intake]:
    """Turn the replies of a training round into the matrix, while they arrive.

    Parameters
    ----------
    replies
        Of the clients that were asked, and whatever else came.
    asked
        The clients.
    expected
        What each reply is measured against.
    values
        (n, d) where the matrix is to lie; in memory by default.

    Returns
    -------
    tuple
        The matrix (None without a single accepted update), the integer tensors in the order
        of its rows, and the intake.

    """
    intake = Intake()
    layout = expected.layout
    builder = MatrixBuilder(asked, layout.size, layout.dtype, values=values)

    def judge(client: str, content: RecordDict) -> Admission:
        admission = admit(content, expected, builder.row(client))
        if admission.code == "ok":
            builder.keep(client, admission.samples)
        return admission

    intake.take_all(replies, judge)
    if not intake.accepted:
        return None, [], intake
    matrix = builder.finish()
    return matrix, [intake.accepted[client].counters for client in matrix.clients], intake


def receive_updates(
    replies: Iterable[Reply],
    asked: Sequence[str],
    expected: Expectation,
    *,
    folder: Path,
    spill_bytes: int,
) -> tuple[UpdateMatrix | None, list[NDArray[np.int64]], Intake, str]:
    """Take the updates of a round into memory or, from ``spill_bytes`` on, a file in ``folder``.

    Returns
    -------
    tuple
        As of ``take_updates``, and why no reply was judged: there was no room for the updates.

    """
    shape = len(asked), expected.layout.size
    try:
        values = reserve(shape, expected.layout.dtype, folder=folder, spill_bytes=spill_bytes)
    except (OSError, MemoryError) as error:
        reason = f"no room for {shape[0]} updates of {shape[1]} parameters: {error}"
        unjudged = "was not judged: the server had no room for the updates"
        return None, [], Intake.unjudged(asked, "no-room", unjudged), reason
    return *take_updates(replies, asked, expected, values), ""


def take_metrics(replies: Iterable[Reply], weight_key: str) -> Intake:
    """Read the claims of an evaluation round."""
    intake = Intake()
    intake.take_all(replies, lambda _client, content: read_metrics(content, weight_key))
    return intake
