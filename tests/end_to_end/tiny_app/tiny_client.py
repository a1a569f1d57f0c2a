"""A client that adds one plus its partition id to every number."""

import time

from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()


@app.train()
def train(message: Message, context: Context) -> Message:
    time.sleep(float(context.run_config["pause"]))
    step = 1.0 + float(context.node_config["partition-id"])
    arrays = [
        array + array.dtype.type(step)
        for array in message.content.array_records["arrays"].to_numpy_ndarrays()
    ]
    content = RecordDict(
        {"arrays": ArrayRecord(arrays), "metrics": MetricRecord({"num-examples": 1})}
    )
    return Message(content, reply_to=message)
