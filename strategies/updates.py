"""The values that a round is made of: updates in, verdicts, scores and an aggregate out.

All of them are frozen; arrays inside are read-only where a mistake could corrupt a round.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from quickthorn.strategies.errors import UpdateError
from quickthorn.strategies.kernels.device import on_device
from quickthorn.strategies.kernels.finite import rows_not_finite
from quickthorn.strategies.kernels.mapped import release

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from quickthorn.strategies.kernels.rows import Rows

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Tensor:
    """One named tensor of a model and where it lies in the flat vector."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    offset: int

    @property
    def size(self) -> int:
        """Return the number of elements."""
        return prod(self.shape)


@dataclass(frozen=True)
class ModelLayout:
    """How a model's tensors map to a flat vector: the template that every reply must fit.

    Floating-point tensors (weights, and buffers such as running means) are aggregated by the
    defense. Integer and boolean tensors (counters) never mix with them: a client's count of
    batches must not decide a distance between gradients.

    Attributes
    ----------
    tensors
        Every tensor in the model's own order; ``offset`` counts within its group.
    dtype
        Of a row: float64 if the model has a float64 tensor, else float32.

    Example
    -------
    >>> model = {"w": np.zeros((2, 3), np.float32), "steps": np.array(7)}
    >>> layout = ModelLayout.of(model)
    >>> layout.size, [tensor.name for tensor in layout.counters]
    (6, ['steps'])

    """

    tensors: tuple[Tensor, ...]
    dtype: np.dtype[Any]

    @classmethod
    def of(cls, arrays: Mapping[str, Array]) -> ModelLayout:
        """Describe ``arrays``, a model as name to array.

        Raises
        ------
        UpdateError
            If the model is empty or holds a dtype other than float, integer or boolean.

        """
        tensors, offsets = [], {"f": 0, "i": 0}
        for name, array in arrays.items():
            if array.dtype.kind not in "fiub" or array.dtype.itemsize > np.dtype("f8").itemsize:
                msg = (
                    f"tensor {name!r} has dtype {array.dtype}; a model may hold float16, float32, "
                    "float64, integers and booleans. Convert it before the federation starts."
                )
                raise UpdateError(msg)
            group = "f" if array.dtype.kind == "f" else "i"
            tensors.append(Tensor(name, array.shape, array.dtype, offsets[group]))
            offsets[group] += array.size
        if not offsets["f"]:
            msg = "the model has no floating-point tensor, so there is nothing to aggregate."
            raise UpdateError(msg)
        wide = any(tensor.dtype == np.float64 for tensor in tensors)
        return cls(tuple(tensors), np.dtype(np.float64 if wide else np.float32))

    @property
    def weights(self) -> tuple[Tensor, ...]:
        """Return the floating-point tensors, which the defense aggregates."""
        return tuple(tensor for tensor in self.tensors if tensor.dtype.kind == "f")

    @property
    def counters(self) -> tuple[Tensor, ...]:
        """Return the integer and boolean tensors, which it does not."""
        return tuple(tensor for tensor in self.tensors if tensor.dtype.kind != "f")

    @property
    def size(self) -> int:
        """Return d, the length of a row."""
        return sum(tensor.size for tensor in self.weights)

    @property
    def counter_size(self) -> int:
        """Return the number of integer and boolean elements."""
        return sum(tensor.size for tensor in self.counters)

    @property
    def nbytes(self) -> int:
        """Return the size of the model's data in bytes."""
        return sum(tensor.size * tensor.dtype.itemsize for tensor in self.tensors)

    def flatten(self, arrays: Mapping[str, Array]) -> tuple[Array, NDArray[np.int64]]:
        """Return (weights (d,), counters (c,)) of a model of this layout."""
        weights = np.empty(self.size, self.dtype)
        counters = np.empty(self.counter_size, np.int64)
        for tensor in self.tensors:
            target = weights if tensor.dtype.kind == "f" else counters
            target[tensor.offset : tensor.offset + tensor.size] = arrays[tensor.name].reshape(-1)
        return weights, counters

    def unflatten(self, weights: Array, counters: Array) -> dict[str, Array]:
        """Return the model whose flat form is ``weights`` and ``counters``: new arrays."""
        model = {}
        for tensor in self.tensors:
            source = weights if tensor.dtype.kind == "f" else counters
            part = source[tensor.offset : tensor.offset + tensor.size]
            model[tensor.name] = part.astype(tensor.dtype).reshape(tensor.shape)
        return model


@dataclass(frozen=True, eq=False)
class UpdateMatrix:
    """The updates of one round, one client per row, rows in the order of the client ids.

    An update is the *delta* from the model that was sent: distances between raw weights lose
    all precision in float32, and a rule on deltas needs no previous model.

    Attributes
    ----------
    values
        (n, d) float32 or float64, finite; a read-only view of the array that was given,
        which its owner must leave alone. Of an ``np.memmap`` the rules keep little resident.
    clients
        The n client ids, strictly ascending: ties and float sums then have one order.
    weights
        (n,) sample counts as the clients *claim* them, or None; only a rule that asks for
        them by name sees them.

    Example
    -------
    >>> matrix = UpdateMatrix.of({"b": np.ones(2), "a": np.zeros(2)})
    >>> matrix.clients, matrix.values.tolist()
    (('a', 'b'), [[0.0, 0.0], [1.0, 1.0]])

    """

    values: Array
    clients: tuple[str, ...]
    weights: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        """Check the matrix and make it read-only.

        Raises
        ------
        UpdateError
            If shapes disagree, the clients are not ascending or a value is not finite.

        """
        check_values(self.values)
        if len(self.clients) != len(self.values):
            msg = f"{len(self.values)} rows need as many client ids; got {self.clients!r}."
            raise UpdateError(msg)
        if any(a >= b for a, b in zip(self.clients, self.clients[1:], strict=False)):
            msg = "client ids must be unique and ascending; use UpdateMatrix.of to sort them."
            raise UpdateError(msg)
        if self.weights is not None and np.shape(self.weights) != (len(self.values),):
            got = np.shape(self.weights)
            msg = f"weights must be one number per row, shape ({len(self.values)},); got {got}."
            raise UpdateError(msg)
        # A view of our own: the caller's array stays as writable as it was.
        values = self.values.view()
        values.flags.writeable = False
        object.__setattr__(self, "values", values)

    @classmethod
    def of(cls, rows: Mapping[str, Array]) -> UpdateMatrix:
        """Stack ``rows``, client id to update (d,), in the order of the ids."""
        clients = tuple(sorted(rows))
        if len({np.shape(row) for row in rows.values()}) != 1:
            msg = "the rows of a matrix need one length, and there must be one; got "
            raise UpdateError(msg + f"{sorted({np.shape(row) for row in rows.values()})}.")
        return cls(np.stack([rows[client] for client in clients]), clients)


class MatrixBuilder:
    """An n×d matrix that fills row by row as replies arrive; nothing else is ever held.

    Parameters
    ----------
    clients, size, dtype
        One row of ``size`` elements for each of the clients.
    values
        The (n, size) array to fill, for instance an ``np.memmap``, of which hardly more than
        the row at hand is resident; by default a new one in memory.

    Example
    -------
    >>> builder = MatrixBuilder(["b", "a"], size=2, dtype=np.dtype("f4"))
    >>> builder.row("b")[:] = 1.0
    >>> builder.keep("b")
    >>> builder.finish().clients
    ('b',)

    """

    def __init__(
        self,
        clients: Sequence[str],
        size: int,
        dtype: np.dtype[Any],
        *,
        values: Array | None = None,
    ) -> None:
        """Reserve the rows."""
        self._clients = tuple(sorted(clients))
        self._slot = {client: slot for slot, client in enumerate(self._clients)}
        self._values = np.empty((len(self._clients), size), dtype) if values is None else values
        self._kept: dict[str, float] = {}

    def row(self, client: str) -> Array:
        """Return the row of ``client`` to write the update into."""
        release(self._values)
        row: Array = self._values[self._slot[client]]
        return row

    def keep(self, client: str, weight: float = 1.0) -> None:
        """Declare the row of ``client`` valid; ``weight`` is the claimed sample count."""
        self._kept[client] = weight

    def finish(self) -> UpdateMatrix:
        """Close the gaps in place and return the matrix of the kept rows."""
        kept = [client for client in self._clients if client in self._kept]
        for target, client in enumerate(kept):
            source = self._slot[client]
            if source != target:
                self._values[target] = self._values[source]
                release(self._values)
        weights = np.array([self._kept[client] for client in kept], np.float64)
        return UpdateMatrix(self._values[: len(kept)], tuple(kept), weights)


@dataclass(frozen=True)
class Verdict:
    """What became of one reply: accepted, or refused with the reason.

    Attributes
    ----------
    client
        Whose reply it is, by the message that it answers; ``""`` where it answers none.
    accepted
        Whether the update became a row.
    code
        One word for tables: ``ok``, or the kind of fault.
    reason
        One sentence for people, with figures; text from a client in it is escaped.
    ignored
        Claims that were set aside although the update was accepted.

    """

    client: str
    accepted: bool
    code: str = "ok"
    reason: str = ""
    ignored: tuple[str, ...] = ()


@dataclass(frozen=True)
class Score:
    """One signal about one client in one round.

    Attributes
    ----------
    client, signal
        Who, and the scorer's name.
    value
        The signal in its own unit.
    z
        Robust z-score within the round; positive is more suspicious.
    reason
        A sentence with figures if the client stands out, else ``""``.
    side
        Of a two-sided signal: 1 above the median, -1 below it; 0 for a one-sided signal.
        ``z`` does not say which, and evidence over rounds needs it.

    """

    client: str
    signal: str
    value: float
    z: float
    reason: str = ""
    side: int = 0


@dataclass(frozen=True, eq=False)
class Aggregate:
    """What a rule, or a whole defense, made of a matrix.

    Attributes
    ----------
    vector
        (d,), of the dtype of the input; a torch tensor where that is one.
    influence
        (n,), each client's share in the vector, summing to 1; a rule that shortens or lengthens
        updates before it averages them counts them at their new length. All 0 where nobody has
        a share and the vector is zero. None where the rule has no such notion (coordinate-wise
        rules take every coordinate from someone else).
    state
        What the rule wants back in the next round; None for a rule without memory.

    """

    vector: Array
    influence: NDArray[np.float64] | None = None
    state: Any = None


@dataclass(frozen=True, eq=False)
class Mixed:
    """What a pre-aggregator made of a matrix.

    Attributes
    ----------
    values
        (m, d) rows for the next step, as a rule those of ``kernels.rows.mix``, which exist only
        block by block.
    mixing
        (m, n) row-stochastic: which client each new row consists of; None where row i is
        still client i's alone.
    state
        As in ``Aggregate``.

    """

    values: Rows
    mixing: NDArray[np.float64] | None = None
    state: Any = None


def is_float(dtype: object) -> bool:
    """Return whether a dtype of numpy or torch is float32 or float64."""
    return str(dtype).removeprefix("torch.") in {"float32", "float64"}


def check_values(values: Any) -> None:  # noqa: ANN401 - whatever a caller brings
    """Raise an ``UpdateError`` unless ``values`` is a finite (n, d) float matrix, n, d > 0."""
    # No other subclass: masks would be ignored, and a np.matrix has no vectors.
    known = type(values) in {np.ndarray, np.memmap} or on_device(values)
    if not known or values.ndim != 2 or 0 in values.shape:  # noqa: PLR2004 - a matrix has two axes
        got = f"shape {tuple(values.shape)}" if known else type(values).__name__
        msg = f"updates must be an (n, d) array with n, d >= 1, or a torch tensor; got {got}."
        raise UpdateError(msg)
    if not is_float(values.dtype):
        msg = f"updates must be float32 or float64; got {values.dtype}. Convert them first."
        raise UpdateError(msg)
    bad = rows_not_finite(values)
    if bad:
        msg = (
            f"rows {', '.join(map(str, bad))} hold NaN or infinity; leave those clients out "
            "(the server's admission does) and record why."
        )
        raise UpdateError(msg)
