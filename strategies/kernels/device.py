"""Where rows lie: in numpy's memory, or on a device of torch, and the kernels' forms for each."""

from __future__ import annotations

import importlib
import sys
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
T = TypeVar("T")


class DeviceTensor(Protocol):
    """A torch tensor, named without torch."""

    shape: Any
    dtype: Any
    device: Any

    def __len__(self) -> int: ...

    def __getitem__(self, key: Any, /) -> Any: ...  # noqa: ANN401 - torch's indexing


def on_device(rows: object) -> bool:
    """Say whether ``rows`` is a torch tensor, or rows mixed from one; torch is not imported."""
    torch = sys.modules.get("torch")  # where nobody imported it, there is no tensor
    if torch is None or isinstance(rows, np.ndarray):
        return False
    return isinstance(rows, torch.Tensor) or isinstance(getattr(rows, "base", None), torch.Tensor)


def with_tensor_form(kernel: Callable[P, T]) -> Callable[P, T]:
    """Let ``kernel`` hand rows on a device to its torch form.

    That has the same name and arguments and lies beside it: ``order_tensors`` has the torch forms
    of ``order``. It is imported on use, since only who brings a tensor has torch.
    """

    @wraps(kernel)
    def choose(*args: P.args, **kwargs: P.kwargs) -> T:
        if not any(map(on_device, args)):
            return kernel(*args, **kwargs)
        forms = importlib.import_module(f"{kernel.__module__}_tensors")
        result: T = getattr(forms, kernel.__name__)(*args, **kwargs)
        return result

    return choose
