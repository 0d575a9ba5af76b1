"""Keeps freed memory in the process, for the next answers."""

import ctypes

# From glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEPT = 2**28  # bytes at the heap's end that are not given back
_LARGEST_MAPPING_THRESHOLD = 2**25  # bytes; glibc refuses more


def keep_freed_memory() -> None:
    """Let glibc keep freed memory; other C libraries ignore it. Call it once per process, before the first call.

    By default every buffer of an answer (0.5-2 MB, several per call) returns to the kernel and the next one is faulted
    in page by page, which costs as much CPU as all the rest of a call.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_TRIM_THRESHOLD, _KEPT)
        mallopt(_M_MMAP_THRESHOLD, _LARGEST_MAPPING_THRESHOLD)
