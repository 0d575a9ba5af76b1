"""The queue between reader and event loop: it is bounded, and reports a broken input."""

import asyncio
from collections.abc import Generator

import pytest

from client.errors import TableError
from client.input.row import Row
from client.run.row_queue import RowQueue


def test_the_reader_waits_while_span_rows_are_unfinished() -> None:
    taken: list[int] = []

    def endless() -> Generator[Row, None, None]:
        while True:
            taken.append(len(taken))
            yield Row(taken[-1], (), "a.jpg")

    async def read() -> None:
        queue = RowQueue(endless(), span=3)
        for index in range(3):
            row = await queue.next()
            assert row is not None
            assert row.index == index
        assert len(taken) <= 4  # the reader holds one more
        queue.finished(1)
        assert (await queue.next()) == Row(3, (), "a.jpg")
        queue.end()
        assert await queue.next() is None
        assert await queue.next() is None

    asyncio.run(read())


def test_an_input_that_breaks_off_is_reported_after_its_last_row() -> None:
    def broken() -> Generator[Row, None, None]:
        yield Row(0, (), "a.jpg")
        raise TableError("the rest cannot be read")

    async def read() -> None:
        queue = RowQueue(broken(), span=3)
        assert (await queue.next()) == Row(0, (), "a.jpg")
        with pytest.raises(TableError, match="the rest cannot be read"):
            await queue.next()
        assert await queue.next() is None

    asyncio.run(read())
