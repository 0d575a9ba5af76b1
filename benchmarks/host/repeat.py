"""CPU time of something short, done again and again on one core."""

import time
from collections.abc import Callable

AT_LEAST = 0.05  # CPU-seconds; one call alone would be timed with cold caches and a coarse clock


def cpu_seconds(action: Callable[[], object]) -> float:
    """Of one call, the mean of as many as take AT_LEAST; only the calling thread's time counts."""
    calls, started = 0, time.thread_time()
    while (spent := time.thread_time() - started) < AT_LEAST or not calls:
        action()
        calls += 1
    return spent / calls
