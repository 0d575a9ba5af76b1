"""How fast each node is, for the progress bar and the summary."""

from __future__ import annotations

import statistics
import time
from collections import deque

_WINDOW_SECONDS = 30.0
_STEADY_SECONDS = 10.0  # a node's first seconds say nothing
_SHOWN = 4  # nodes by name


class Speeds:
    """Counts the photos of each node, by its name."""

    def __init__(self) -> None:
        self.done: dict[str, int] = {}
        self._since: dict[str, float] = {}
        self._lately: dict[str, deque[tuple[float, int]]] = {}  # nodes that are there: seconds and photos

    def joined(self, node: str) -> None:
        """A client of the node begins."""
        self.done.setdefault(node, 0)
        self._since.setdefault(node, time.monotonic())
        self._lately.setdefault(node, deque())

    def left(self, node: str) -> None:
        """The node is no longer there."""
        self._since.pop(node, None)
        self._lately.pop(node, None)

    def add(self, node: str, count: int) -> None:
        """Count photos that are done."""
        self.done[node] = self.done.get(node, 0) + count
        if node in self._lately and count:
            self._lately[node].append((time.monotonic(), count))
            self._forget(node)

    def _forget(self, node: str) -> None:
        counts = self._lately[node]
        while counts and time.monotonic() - counts[0][0] > _WINDOW_SECONDS:
            counts.popleft()

    def rates(self) -> dict[str, float]:
        """Photos a second of each node that is there, over the last half minute."""
        now = time.monotonic()
        rates = {}
        for node, counts in self._lately.items():
            self._forget(node)
            seconds = min(_WINDOW_SECONDS, now - self._since[node])
            rates[node] = sum(count for _, count in counts) / max(seconds, 1.0)
        return rates

    def stragglers(self) -> list[str]:
        """The nodes with less than half the median rate."""
        rates = self.rates()
        half = statistics.median(rates.values()) / 2 if rates else 0.0
        now = time.monotonic()
        return [node for node, rate in rates.items() if rate < half and now - self._since[node] > _STEADY_SECONDS]

    def __str__(self) -> str:
        """The nodes in words, the slow ones by name."""
        rates, slow = self.rates(), self.stragglers()
        if len(rates) <= _SHOWN:
            each = " + ".join(f"{node} {rate:.1f}/s" for node, rate in rates.items())
        else:
            each = f"{statistics.median(rates.values()):.1f}/s each"
        words = [f"{len(rates)} node{'s' if len(rates) != 1 else ''}: {each}"] if rates else ["no node"]
        if slow:
            more = f" and {len(slow) - _SHOWN} more" if len(slow) > _SHOWN else ""
            words.append("slow: " + ", ".join(f"{node} {rates[node]:.1f}/s" for node in slow[:_SHOWN]) + more)
        return "; ".join(words)
