"""Times something short, again and again."""

import statistics
import time
from collections.abc import Callable

AT_LEAST = 0.05  # CPU-seconds; one call alone would be timed with cold caches and a coarse clock


def thread_cpu_seconds(action: Callable[[], object]) -> float:
    """CPU time of one call, the mean of as many as take AT_LEAST; only the calling thread's time counts."""
    calls, started = 0, time.thread_time()
    while (spent := time.thread_time() - started) < AT_LEAST or not calls:
        action()
        calls += 1
    return spent / calls


def median_of(rounds: int, action: Callable[[], object], clock: Callable[[], float] = time.process_time) -> float:
    """What one call takes by a clock, in seconds: CPU time of the process, or time.perf_counter."""
    times = []
    for _ in range(rounds):
        started = clock()
        action()
        times.append(clock() - started)
    return statistics.median(times)
