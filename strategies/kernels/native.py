"""Machine code from LLVM's intermediate language, kept on disk for later processes.

The first process on a machine compiles, in about a tenth of a second for a hundred rows;
others load the object file. The folder is QUICKTHORN_CACHE, else Python's own for compiled
files beside this one, else ``~/.cache/quickthorn``; where none can be written, each process
compiles for itself.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from ctypes import CFUNCTYPE, c_int64, c_void_p
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import llvmlite.binding as llvm

if TYPE_CHECKING:
    from collections.abc import Callable

_SIGNATURE = CFUNCTYPE(None, c_void_p, c_int64, c_int64, c_void_p, c_void_p, c_void_p)
_DIGEST = 32
_lock = Lock()


def load(text: str) -> Callable[..., None]:
    """Return the function ``kernel`` of a module of the intermediate language.

    Parameters
    ----------
    text
        The module; ``kernel`` takes a pointer, two int64 and three pointers.

    Returns
    -------
    Callable[..., None]
        To be called with six integers; it runs without Python's lock.

    """
    with _lock:  # LLVM's state is shared
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        processor, features = llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()
        machine = llvm.Target.from_default_triple().create_target_machine(
            cpu=processor, features=features, opt=2, jit=True
        )
        described = "\n".join([str(llvm.llvm_version_info), processor, features, text])
        path = _folder() / f"{sha256(described.encode()).hexdigest()[:32]}.native"
        compiled = _read(path)
        if compiled is None:
            compiled = machine.emit_object(llvm.parse_assembly(text))
            _write(path, compiled)
        engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
        engine.add_object_file(llvm.ObjectFileRef.from_data(compiled))
        engine.finalize_object()
        function: Any = _SIGNATURE(engine.get_function_address("kernel"))
    function.engine = engine  # the code lives as long as its engine
    return function  # type: ignore[no-any-return]  # a ctypes function can be called


def _folder() -> Path:
    named = os.environ.get("QUICKTHORN_CACHE")
    if named:
        return Path(named)
    beside = Path(__file__).parent / "__pycache__"
    if os.access(beside if beside.exists() else beside.parent, os.W_OK):
        return beside
    try:
        return Path.home() / ".cache" / "quickthorn"
    except RuntimeError:  # a user whom the system does not know
        return beside


def _read(path: Path) -> bytes | None:
    """Return a kept object file, or None where there is none or it is damaged."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    digest, compiled = content[:_DIGEST], content[_DIGEST:]
    return compiled if sha256(compiled).digest() == digest else None


def _write(path: Path, compiled: bytes) -> None:
    """Keep an object file, whole or not at all."""
    with contextlib.suppress(OSError):  # without a place to keep it, it is compiled again
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            file.write(sha256(compiled).digest() + compiled)
        Path(file.name).replace(path)
