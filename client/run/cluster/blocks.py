"""Blocks of rows: what a node gets at a time, and what becomes of one whose client died."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from math import isqrt

from client.input.row import Row
from client.output.plan import Plan

# A Ray call costs the driver about a millisecond, so 200 rows keep its cost below 1 % of what the fastest client needs
# for them (300 rows/s), and the last block of a slow node is done in seconds.
BLOCK_ROWS = 200
# Rows of one tar stay together, and its client packs it, as long as they are no more than these: a block is in memory.
MOST_ROWS = 5000
MOST_FAILURES = 3  # of a block, before its rows are reported


@dataclass(eq=False, frozen=True)
class Block:
    """Consecutive rows of the table that are not done yet, and how often a client died with them."""

    rows: Sequence[Row]
    failures: int = 0

    def __str__(self) -> str:
        """What Ray's dashboard shows: the rows' places in the table, counted from 1."""
        return f"rows {self.rows[0].index + 1}–{self.rows[-1].index + 1}"

    def shares_a_file(self, other: Block, plan: Plan) -> bool:
        """Whether a packed file has rows of this block and of another one."""
        return not self._files(plan).isdisjoint(other._files(plan))

    def _files(self, plan: Plan) -> set[int]:
        return {row.number // plan.rows_per_tar for row in self.rows}

    def again(self, rows: Sequence[Row]) -> list[Block]:
        """The blocks for another attempt at `rows`, those of this block that are left.

        They are smaller, so that the third attempt is at one row alone: a row that ends its client is reported alone.
        """
        size = max(1, isqrt(len(rows))) if self.failures == 0 else 1
        return [Block(rows[start : start + size], self.failures + 1) for start in range(0, len(rows), size)]


def cut(rows: Iterable[Row], plan: Plan) -> Generator[Block, None, None]:
    """Cut rows into blocks of BLOCK_ROWS; in a packed dataset of whole files with about as many."""
    block: list[Row] = []
    for row in rows:
        if len(block) >= BLOCK_ROWS and (len(block) == MOST_ROWS or not _share_a_file(plan, block[-1], row)):
            yield Block(block)
            block = []
        block.append(row)
    if block:
        yield Block(block)


def _share_a_file(plan: Plan, one: Row, other: Row) -> bool:
    return plan.is_packed and one.number // plan.rows_per_tar == other.number // plan.rows_per_tar
