"""Runs the client's coroutines: by uvloop, for a sixth to a third less CPU a photo, or by asyncio on Windows."""

try:
    from uvloop import run
except ImportError:  # on Windows
    from asyncio import run  # type: ignore[assignment]

__all__ = ["run"]
