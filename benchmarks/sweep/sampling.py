"""Reads something again and again while something else runs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from tritonclient.utils import InferenceServerException

Sample = TypeVar("Sample")


@contextmanager
def sampled(read: Callable[[], Sample], interval: float) -> Iterator[list[Sample]]:
    """Call `read` at once and every `interval` seconds until the block ends; the list grows meanwhile.

    A server that does not answer ends the sampling, not the block: whoever loads it is told, too.
    """
    samples: list[Sample] = []
    ended = threading.Event()

    def sample() -> None:
        while True:
            try:
                samples.append(read())
            except (OSError, InferenceServerException):
                return
            if ended.wait(interval):
                return

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield samples
    finally:
        ended.set()
        thread.join()
