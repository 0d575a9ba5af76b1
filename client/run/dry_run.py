"""The dry run: all of a run up to the networks, for the rows that it would do; writes nothing.

The server's `decode` is a model of its own. It is sent each row as a run would send it to the ensemble, and refuses it
in the same words. Whether there is a person in the photo, only a run can tell.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from client.errors import RowError, StoppedError, UnreachableError
from client.input.photos import check_image, read_image
from client.input.row import Row
from client.light.columns import Overrides
from client.light.light import check_patterns, light_of, light_tensors, server_patterns, source_of
from client.output.journal import FAILED, Past
from client.run.closing import gone_rows
from client.run.interruptions import Interruptions
from client.run.prepare import Prepared, prepare
from client.run.progress import Progress, gone_words
from client.run.reading import Reading
from client.run.resume import How, open_input
from client.run.row_queue import RowQueue
from client.run.run import Run
from client.triton.parts import Templates
from client.triton.pixels import bitmap
from client.triton.request import PROMPT, decode_request, photo_request, request_template, unpack
from client.triton.servers import Servers

Check = Callable[[Row, Overrides], Awaitable[None]]  # raises RowError
_OPENED = 8  # photos at a time, where there is no server


@dataclass
class Outlook:
    """What a run would do."""

    kept: int = 0  # rows that stay as an earlier run left them
    failed: int = 0  # of those
    servers: str = ""  # the servers in a sentence; empty where there is none
    interrupted: bool = False


async def foresee(run: Run, how: How, progress: Progress, interruptions: Interruptions) -> Outlook:
    """Check every row that a run would do, and report failures to `progress`.

    Without a server photos are only opened.

    Raises TableError, SettingsChangedError and UnreachableError as a run does.
    """
    reading = open_input(run, how, progress)
    source = reading.source
    folder, outlook = run.folder(), Outlook()
    folder.check_writable()
    past = folder.past()
    numbering = reading.numbering(past)
    async with contextlib.AsyncExitStack() as connections:
        rows = reading.rows() if how.restart else _left(run, reading.rows(numbering), past, outlook)
        try:
            servers, facts = await connections.enter_async_context(run.access.ready(run.window, progress.say))
        except UnreachableError as error:
            progress.say(f"{error}. Photos are opened, not decoded")
            check, window, stop = _opening(source.folder), _OPENED, lambda: None
        else:
            models = ", ".join(f"{name} {version}" for name, version in sorted(facts.model_versions.items()))
            outlook.servers = f"servers: {facts.window} calls in flight, models {models}"
            info = await _ask_info(servers)
            settings = run.settings(source.identity, facts.model_versions)
            folder.compare(settings, info.get("models"), anyway=how.anyway or how.restart)
            check = _decoding(run, source.folder, servers, server_patterns(info))
            window, stop = facts.window, servers.stop
        outlook.interrupted = await _check_rows(rows, reading, check, window, stop, progress, interruptions)
    if not outlook.interrupted:
        gone = [] if how.restart else gone_rows(run, numbering)
        for sentence in filter(None, (source.left_out(), gone_words(gone))):
            progress.say(sentence)
    return outlook


def describe(outlook: Outlook, progress: Progress) -> str:
    """The outlook in a few lines."""
    total = outlook.kept + progress.done + progress.failed
    kept = f", {outlook.kept} stay as they are" if outlook.kept else ""
    rows = f"{total} rows: {progress.done} can be sent to the networks, {progress.failed} would fail{kept}"
    return "\n".join(filter(None, (rows, outlook.servers)))


def _left(run: Run, rows: Iterable[Row], past: Past, outlook: Outlook) -> Generator[Row, None, None]:
    """The rows that a run would do; the others are counted. Raises TableError."""
    state_of = past.finder()
    for row in rows:
        state = state_of(row.identity)
        if state in run.kept:
            outlook.kept += 1
            outlook.failed += state == FAILED
        else:
            yield row


async def _ask_info(servers: Servers) -> dict[str, Any]:
    """INFO of a small gray photo. Raises UnreachableError: not even that is relit."""
    light = light_of(None, [source_of("key", {})], {})
    template = request_template((0.0, 0.0), "mask;png", ())
    gray = bitmap(np.full((64, 64, 3), 128, np.uint8))
    try:
        return unpack(await servers.send(photo_request(template, gray, PROMPT, light_tensors([light]))), {}).info
    except RowError as error:
        raise UnreachableError(f"the server relights no photo ({error}); see its log") from error


def _opening(photos: str) -> Check:
    """Check that a photo can be opened."""

    async def check(row: Row, asked: Overrides) -> None:
        await asyncio.to_thread(check_image, row.image_path, row.folder or photos)

    return check


def _decoding(run: Run, photos: str, servers: Servers, patterns: Sequence[str] | None) -> Check:
    """Check that the server decodes a photo and takes its lights."""
    templates = Templates(run.thresholds, run.plan.request(), run.plan.pictures)

    def prepared(row: Row, asked: Overrides) -> Prepared:
        image = read_image(row.image_path, row.folder or photos, run.access.timeout)
        return prepare(run, templates, row, asked, photos, image)

    async def check(row: Row, asked: Overrides) -> None:
        one = await asyncio.to_thread(prepared, row, asked)
        try:
            await servers.send(decode_request(one.parts.request))
        except RowError as error:
            one.parts.refused(error)  # a run would ask for fewer lights at a time
            await servers.send(decode_request(one.parts.request))
        try:
            check_patterns(one.lights, patterns)
        except ValueError as error:
            raise RowError(str(error)) from error

    return check


async def _check_rows(
    rows: Generator[Row, None, None],
    reading: Reading,
    check: Check,
    window: int,
    stop: Callable[[], None],
    progress: Progress,
    interruptions: Interruptions,
) -> bool:
    """Check rows, `window` at a time; return whether Ctrl-C or too many failures ended it. `stop` ends the sending."""
    queue, interrupted = RowQueue(rows, 2 * window), False

    def end() -> None:
        nonlocal interrupted
        interrupted = True
        stop()
        queue.end()

    async def check_next() -> None:
        while (row := await queue.next()) is not None:
            try:
                await check(row, reading.asked(row))
                progress.row_done()
            except RowError as error:
                progress.row_failed(f"{row}: {error}")
            except StoppedError:
                pass
            queue.finished(1)

    workers = [asyncio.ensure_future(check_next()) for _ in range(window)]
    with interruptions.handled(end):
        try:
            await asyncio.gather(*workers)
        finally:  # after an error no call is cancelled
            stop()
            queue.end()
            await asyncio.gather(*workers, return_exceptions=True)
    return interrupted
