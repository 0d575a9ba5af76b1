"""How every command ends: with its exit code, and with one line where Ctrl-C interrupts it.

Importing this is enough for the line. A command imports it first, because what it imports next may take seconds.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from types import TracebackType
from typing import NoReturn

INTERRUPTED = 130  # as shells report a program that Ctrl-C has ended


def run(main: Callable[[], int | None]) -> NoReturn:
    """End this process with the exit code that `main` returns, 0 where it returns none."""
    sys.exit(main())


def end_in_a_line(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Take what nobody has caught: a line for Ctrl-C, a traceback for an error of ours."""
    if not issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    print("\nInterrupted.", file=sys.stderr)
    sys.exit(INTERRUPTED)


sys.excepthook = end_in_a_line
for stream in (sys.stdout, sys.stderr):
    if isinstance(stream, io.TextIOWrapper):  # pythonw and some test runners have none
        stream.reconfigure(errors="backslashreplace")  # in a locale without our signs they are printed as \u2026
