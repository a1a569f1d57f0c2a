"""The server's shell around the pure core: Flower, the clock and the disk.

Importing this package is light; what it names brings Flower in when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from quickthorn.server.observe import Observer
    from quickthorn.server.strategy import RobustStrategy

__all__ = ["Observer", "RobustStrategy"]


def __getattr__(name: str) -> object:
    """Load what ``__all__`` names on first use (PEP 562)."""
    if name == "Observer":
        from quickthorn.server.observe import Observer  # noqa: PLC0415 - the point of it

        return Observer
    if name == "RobustStrategy":
        from quickthorn.server.strategy import RobustStrategy  # noqa: PLC0415 - the point of it

        return RobustStrategy
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
