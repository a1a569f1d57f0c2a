"""What a checkpoint does to the state of rules and signals: text and arrays, and back."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from quickthorn.strategies.updates import Array


def through_json_and_npz(state: Any) -> dict[str, Any]:  # noqa: ANN401 - a state is any value
    """Write a state to text and arrays, as a checkpoint does, and read it back."""
    arrays: dict[str, Array] = {}

    def keep(value: Any) -> Any:  # noqa: ANN401 - JSON's own
        arrays[f"a{len(arrays)}"] = value
        return {"array": f"a{len(arrays) - 1}"}

    text = json.dumps(state, default=keep)
    file = io.BytesIO()
    np.savez(file, **arrays)  # type: ignore[arg-type]  # numpy's stub takes the names for flags
    file.seek(0)
    loaded = np.load(file)
    result: dict[str, Any] = json.loads(
        text, object_hook=lambda node: loaded[node["array"]] if "array" in node else node
    )
    return result
