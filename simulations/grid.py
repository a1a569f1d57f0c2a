"""A Flower ``Grid`` inside one process: client apps are called, not reached over a network."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from flwr.app import Context, Error, Message, RecordDict
from flwr.serverapp import Grid
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity

from quickthorn.server.text import printable

App = Callable[[Message, Context], Message]

_RUN_ID = 1
_SERVER_NODE = 1
_FIRST_CLIENT_NODE = 2
_APP_RAISED = 2  # Flower's ErrorCode.CLIENT_APP_RAISED_EXCEPTION


@dataclass(frozen=True)
class InProcessClient:
    """One client: its app (a ``ClientApp``, or any function of message and context)."""

    app: App
    node_config: Mapping[str, str | int | float | bool] = field(default_factory=dict)


class InProcessGrid(Grid):
    """Deliver messages by calling the clients' apps one after the other, in this process.

    The apps, the strategy and the messages are the real ones; the transport is not there.
    Replies keep the order of the messages, so that a run repeats to the bit. Only one such
    grid can be in use in a process at a time: Flower keeps a process's identity globally.

    Parameters
    ----------
    clients
        In order; they get ascending node ids (1 is the server).
    first_node
        The node id of the first client.

    Example
    -------
    >>> grid = InProcessGrid([InProcessClient(lambda message, context: message)])
    >>> list(grid.get_node_ids())
    [2]

    """

    def __init__(
        self, clients: Sequence[InProcessClient], first_node: int = _FIRST_CLIENT_NODE
    ) -> None:
        """Give each client a node id and a context of its own, kept over the run."""
        TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = _RUN_ID, _SERVER_NODE, 0
        self._run = Run.create_empty(_RUN_ID)
        self._apps = dict(enumerate((client.app for client in clients), first_node))
        self._contexts = {
            node: Context(_RUN_ID, node, dict(client.node_config), RecordDict(), {})
            for node, client in enumerate(clients, first_node)
        }
        self._waiting: dict[str, Message] = {}
        self._sent = 0

    def set_run(self, run: Run) -> None:
        """Take over ``run``; nothing here depends on it."""
        self._run = run

    @property
    def run(self) -> Run:
        """Return the run's description, empty but for its id."""
        return self._run

    def create_message(
        self,
        content: RecordDict,
        message_type: str,
        dst_node_id: int,
        group_id: str,
        ttl: float | None = None,
    ) -> Message:
        """Make a message, as Flower's deprecated method does."""
        return Message(content, dst_node_id, message_type, ttl=ttl, group_id=group_id)

    def get_node_ids(self) -> Iterable[int]:
        """Return the clients' node ids, ascending."""
        return list(self._apps)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Give each message its id and keep it until its reply is asked for."""
        ids = []
        for message in messages:
            self._sent += 1
            message_id = f"message-{self._sent}"
            message.metadata.__dict__["_message_id"] = message_id
            self._waiting[message_id] = message
            ids.append(message_id)
        return ids

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Run the first client whose reply is asked for; the next look runs the next one.

        One at a time, so that no more than one reply is in memory beside what the server keeps.
        """
        asked = set(message_ids)
        found = next((known for known in self._waiting if known in asked), None)
        return [] if found is None else [self._call(self._waiting.pop(found))]

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        """Push, then pull everything; without a network there is nothing to wait for."""
        del timeout
        return [self._call(self._waiting.pop(known)) for known in self.push_messages(messages)]

    def _call(self, message: Message) -> Message:
        node = message.metadata.dst_node_id
        # Its own copy, as over a network: what a client does to it reaches nobody else.
        # The arrays' bytes are immutable and therefore shared.
        received = copy.deepcopy(message)
        try:
            reply = self._apps[node](received, self._contexts[node])
        except (Exception, SystemExit) as error:  # noqa: BLE001 - as Flower does: an error reply
            return Message(Error(_APP_RAISED, printable(error)), reply_to=message)
        if isinstance(reply, Message):
            return reply
        reason = f"the client app returned {type(reply).__name__} and not a Message"
        return Message(Error(_APP_RAISED, reason), reply_to=message)
