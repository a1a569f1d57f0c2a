"""Read the IDX files of MNIST, which come from a person's folder and may be anything.

Layout: two zero bytes, one byte for the type (8: unsigned byte), one byte for the number of
dimensions, each dimension as a big-endian 32-bit integer, then the values, last axis fastest.

Source: Y. LeCun, C. Cortes, C. Burges, *The MNIST database of handwritten digits*.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from typing import TYPE_CHECKING

import numpy as np

from quickthorn.strategies.errors import ConfigurationError

if TYPE_CHECKING:
    from io import BufferedIOBase
    from pathlib import Path

    from numpy.typing import NDArray

MAX_SAMPLES = 1_000_000
"""More than any data set in this form holds; bounds what a false header can make us allocate."""

_UNSIGNED_BYTE = 8


def find_idx(folder: Path, name: str) -> Path:
    """Return the path of the IDX file ``name`` in ``folder``, plain or as ``name.gz``.

    Raises
    ------
    ConfigurationError
        If there is neither; the message names the file and says what to do.

    """
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    what = "lacks" if folder.is_dir() else "is no folder, so it lacks"
    msg = (
        f"The data folder {str(folder)!r} {what} the file {name} (or {name}.gz); "
        "put it there or point data-dir (data_dir of a scenario) to the folder that holds it."
    )
    raise ConfigurationError(msg)


def read_idx(path: Path, sample_shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Return the unsigned bytes of an IDX file as an array.

    Parameters
    ----------
    path
        The file; a name that ends in ``.gz`` is decompressed.
    sample_shape
        The shape that each sample must have: ``(28, 28)`` for images, ``()`` for labels.

    Returns
    -------
    NDArray
        ``(samples, *sample_shape)``, writable. Nothing of that size is allocated before the
        header has been checked.

    Raises
    ------
    ConfigurationError
        If the magic number, the type, the shape or the length is not what it must be,
        or if the file cannot be read.

    Example
    -------
    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "labels"
    ...     _ = path.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 2, 1]))
    ...     read_idx(path, ())
    array([7, 2, 1], dtype=uint8)

    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            shape = _read_header(file, path, sample_shape)
            size = math.prod(shape)
            values = file.read(size)
            surplus = file.read(1)
    except (OSError, EOFError, zlib.error) as error:
        msg = f"{path} cannot be read: {error}. Fetch the file again."
        raise ConfigurationError(msg) from error
    if len(values) < size:
        raise _broken(path, f"{size} bytes of values", f"{len(values)}; the file is truncated")
    if surplus:
        raise _broken(path, f"{size} bytes of values", "more; the header does not fit the file")
    return np.frombuffer(bytearray(values), dtype=np.uint8).reshape(shape)


def _read_header(
    file: BufferedIOBase, path: Path, sample_shape: tuple[int, ...]
) -> tuple[int, ...]:
    dimensions = 1 + len(sample_shape)
    expected = bytes((0, 0, _UNSIGNED_BYTE, dimensions))
    header = file.read(4 + 4 * dimensions)
    if header[:4] != expected:
        raise _broken(path, f"the magic number {expected.hex()}", header[:4].hex() or "nothing")
    if len(header) < 4 + 4 * dimensions:
        raise _broken(path, f"{dimensions} dimensions in the header", "a truncated header")
    samples, *rest = struct.unpack(f">{dimensions}I", header[4:])
    if tuple(rest) != sample_shape:
        raise _broken(path, f"samples of shape {sample_shape}", str(tuple(rest)))
    if not 1 <= samples <= MAX_SAMPLES:
        raise _broken(path, f"1 to {MAX_SAMPLES} samples", str(samples))
    return (samples, *sample_shape)


def _broken(path: Path, needed: str, got: str) -> ConfigurationError:
    return ConfigurationError(f"{path} must hold {needed}; got {got}. Fetch the file again.")
