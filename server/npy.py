"""Read one tensor of a reply from its .npy bytes, which a client wrote.

The header is matched and not evaluated: numpy's own reader runs Python's parser on it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from quickthorn.server.judgement import Refusal, check_form
from quickthorn.server.text import printable

if TYPE_CHECKING:
    from flwr.app import Array as FlowerArray

    from quickthorn.strategies.updates import Array, Tensor

# An .npy file as numpy writes it: magic, version 1 or 2, the header's length, a dictionary.
_MAGIC = b"\x93NUMPY"
_LENGTH_BYTES = {b"\x01\x00": 2, b"\x02\x00": 4}
_MAX_HEADER = 10_000  # characters, as in numpy
_HEADER = re.compile(
    rb"\{'descr': '(?P<descr>[<>|=][A-Za-z][0-9]{0,9})', "
    rb"'fortran_order': (?P<fortran>True|False), "
    rb"'shape': \((?P<shape>[0-9, ]{0,700})\), ?\}[ \n]*"
)
_LONGEST_SIDE = 18  # digits
_SPOKEN = {np.dtype(code).str: np.dtype(code).name for code in "?bBhHiIqQefdFDO"}


def read_array(tensor: Tensor, array: FlowerArray) -> Array:
    """Return the flat values of one tensor; nothing is allocated before its header fits.

    Raises
    ------
    Refusal
        If dtype, shape or length are not those of ``tensor``.

    """
    name = printable(tensor.name, 60)
    if array.stype != "numpy.ndarray":
        raise Refusal("serialization", f"sent {name!r} as {printable(array.stype, 40)!r}")
    shape, fortran, descr, offset = _read_header(name, array.data)
    check_form(tensor, shape, descr, _SPOKEN.get(descr, descr))
    needed = tensor.size * tensor.dtype.itemsize
    if len(array.data) - offset != needed:
        got = len(array.data) - offset
        raise Refusal("truncated", f"sent {got} bytes for {name!r}, its shape needs {needed}")
    values = np.frombuffer(array.data, tensor.dtype, offset=offset)
    return values.reshape(shape, order="F").reshape(-1) if fortran else values


def _read_header(name: str, data: bytes) -> tuple[tuple[int, ...], bool, str, int]:
    """Return shape, whether in Fortran order, numpy's name of the dtype, where the data begin."""
    width = _LENGTH_BYTES.get(data[6:8])
    if data[:6] != _MAGIC or width is None:
        raise Refusal("header", f"sent {name!r} in a form that is not numpy's .npy")
    start = 8 + width
    length = int.from_bytes(data[8:start], "little")
    found = _HEADER.fullmatch(data[start : start + min(length, _MAX_HEADER)])
    sides = re.findall(rb"[0-9]+", found["shape"]) if found else []
    if found is None or length > _MAX_HEADER or any(len(side) > _LONGEST_SIDE for side in sides):
        shown = printable(data[start : start + 80].decode("latin-1"), 80)
        raise Refusal("header", f"sent {name!r} with a header that numpy does not write: {shown}")
    shape = tuple(int(side) for side in sides)
    return shape, found["fortran"] == b"True", found["descr"].decode(), start + length
