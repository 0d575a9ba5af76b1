"""Compiles loops for which neither NumPy nor a library has a name."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import njit

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """Compile at the first call, to code that lets go of the GIL.

    Compiling takes seconds, so the machine code is kept beside the source, or in the user's cache; where neither can be
    written each process compiles anew.
    """
    made: Any
    try:
        made = njit(nogil=True, cache=True)(function)
    except RuntimeError:  # no folder can hold it
        made = njit(nogil=True)(function)
    return cast(Function, made)
