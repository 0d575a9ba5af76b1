"""A client of a cluster as the driver sees it: what it has to do, and when it counts as lost."""

from __future__ import annotations

import asyncio
import math
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError, RuntimeEnvSetupError

from client.run.cluster.blocks import BLOCK_ROWS, Block
from client.run.cluster.nodes import Node


@dataclass(eq=False)
class Client:
    """A client on a node, and what it has to do."""

    node: Node
    number: int
    actor: Any
    window: int  # calls in flight
    journal: Path | None  # none: what it has done is in the store
    blocks: set[Block] = field(default_factory=set)
    unfinished: int = 0  # rows of these blocks, at most
    done: int = 0  # rows that it has reported
    failed: set[int] = field(default_factory=set)  # numbers of those that failed
    lost: asyncio.Event = field(default_factory=asyncio.Event)
    why: str = ""  # it was lost
    silence: float = math.inf  # seconds without a finished row after which it counts as lost
    heard: float = field(default_factory=time.monotonic)  # when it has finished one, or had nothing to do

    def may_take(self, block: Block) -> bool:
        """Whether it has room. A block that a client died with is alone, so that no other dies with it again."""
        if self.lost.is_set() or any(one.failures for one in self.blocks):
            return False
        if block.failures:
            return not self.blocks
        # Two blocks at least, so that the second fills the places that the end of the first leaves.
        return len(self.blocks) < 2 or self.unfinished < BLOCK_ROWS + 2 * self.window

    def progressed(self, count: int) -> None:
        """Note that so many rows are finished. A client without any for too long is lost, as one whose disk hangs."""
        now = time.monotonic()
        self.unfinished -= count
        if count or not self.blocks:
            self.heard = now
        elif now - self.heard > self.silence:
            self.lose(f"it has finished no row for {self.silence:g} s")

    def lose(self, why: str) -> None:
        """End it; it gets no further blocks, and records no further rows."""
        if not self.lost.is_set():
            self.why = why
            self.lost.set()
            with suppress(Exception):  # it is dead already
                ray.kill(self.actor)


def reason(error: BaseException) -> str:
    """Why an actor failed, in a line."""
    if isinstance(error, RayError) and not isinstance(error, (RayTaskError, RuntimeEnvSetupError)):
        lines = str(error).strip().splitlines()
        if lines and "creation task" in lines[0]:  # what its class has raised comes last
            return lines[-1].strip()
        return "its process has died"
    cause = getattr(error, "cause", None) or error
    return next(iter(str(cause).strip().splitlines()), type(cause).__name__)
