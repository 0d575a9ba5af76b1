"""The pipeline: every row of a CSV from its photo through the server to its files, many at a time."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from client.light import Light, check_patterns, light_tensor, server_patterns
from client.lighting import draw_lights
from client.overrides import OverrideColumns, Overrides, find_columns
from client.progress import Progress
from client.request import unpack
from client.rows import Row, RowError, RowQueue, TableError, count_rows, read_image, read_table
from client.sender import Sender, StoppedError, connect, find_server
from client.settings import Lighting
from client.writer import OutputTable, Plan, write_row

_FILE_THREADS = 4  # hides a disk's latency; more only fight for the interpreter
_SPAN_WINDOWS = 4  # how far, in windows, a row may be ahead of the oldest unfinished one


@dataclass(frozen=True)
class Run:
    """What every row of a run shares."""

    csv: Path
    folder: Path  # of the files
    table: Path  # the output CSV
    prompt: str
    thresholds: tuple[float, float]  # score, mask
    seed: int
    lighting: Lighting
    plan: Plan
    limit: int | None
    window: int | None  # None: what the server's configuration asks for
    timeout: float  # seconds per call


@dataclass(frozen=True)
class _Work:
    """What it takes to do a row."""

    run: Run
    sender: Sender
    columns: OverrideColumns
    model_versions: dict[str, str]


async def relight_table(run: Run, url: str, wait: float, progress: Progress) -> bool:
    """Every row through the server at `url`, which gets `wait` seconds to be ready; True where Ctrl-C ended it.

    Raises TableError or UnreachableError before the first row, OSError where the disk fails.
    """
    source = read_table(run.csv)
    client = connect(url)
    try:
        server = await find_server(client, url, wait)
        window = run.window or server.window
        sender = Sender(
            client,
            window=window,
            timeout=run.timeout,
            thresholds=run.thresholds,
            files=run.plan.request(),
            pictures=run.plan.pictures,
        )
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_FILE_THREADS))
        table = _open_output(run, source.columns)
        columns = find_columns(source.columns)
        for warning in columns.warnings:
            progress.say(f"warning: {warning}")
        work = _Work(run, sender, columns, server.model_versions)
        rows = RowQueue(source, _SPAN_WINDOWS * window, run.limit)
        progress.begin()
        threading.Thread(target=_set_total, args=(run, progress), daemon=True).start()

        async def do_rows() -> None:
            while (row := await rows.next()) is not None:
                with contextlib.suppress(StoppedError):
                    files, error = await _relight(work, row)
                    rows.finished(table.add(row.index, row.values, files, error))
                    progress.row_failed(f"{row}: {error}") if error else progress.row_done()

        try:
            with _interrupts(sender, rows, progress) as interrupted:
                # Twice the window: photos are read and written while the window is full of calls.
                workers = [asyncio.ensure_future(do_rows()) for _ in range(2 * window)]
                try:
                    await asyncio.gather(*workers)
                finally:
                    # After a fault of ours: a call that is dropped in mid-run can take an older Triton down with it.
                    sender.stop()
                    rows.end()
                    await asyncio.gather(*workers, return_exceptions=True)
        finally:
            rows.end()
            table.close()
    finally:
        await client.close()
    return interrupted.is_set()


def _open_output(run: Run, columns: Sequence[str]) -> OutputTable:
    try:
        run.folder.mkdir(parents=True, exist_ok=True)
        return OutputTable(run.table, columns)
    except OSError as error:
        problem = f"{error.filename} cannot be written ({error.strerror})"
        raise TableError(f"{problem}; choose another folder with --output") from error


async def _relight(work: _Work, row: Row) -> tuple[list[str], str]:
    """One row from its photo to its files: their paths beside the output CSV, or why not."""
    try:
        if row.error is not None:
            raise RowError(row.error)
        asked = work.columns.read(row.values)
        lights, inputs = await asyncio.to_thread(_prepare, work, row, asked)
        answer = await work.sender.send(inputs)
        return await asyncio.to_thread(_store, work, row, asked, lights, answer), ""
    except RowError as error:
        return [], str(error)


def _prompt(run: Run, asked: Overrides) -> str:
    return run.prompt if asked.prompt is None else asked.prompt


def _prepare(work: _Work, row: Row, asked: Overrides) -> tuple[list[Light], list[Any]]:
    run = work.run
    image = read_image(row.image_path, run.csv.parent)
    lights = draw_lights(run.lighting, run.seed, row.image_path, run.plan.variants, asked)
    return lights, work.sender.inputs(image, _prompt(run, asked), light_tensor(lights))


def _store(work: _Work, row: Row, asked: Overrides, lights: list[Light], answer: Any) -> list[str]:
    run = work.run
    reply = unpack(answer, {name: run.plan.count(name) for name in run.plan.pictures})
    patterns = server_patterns(reply.info)
    try:
        check_patterns(lights, patterns)
    except ValueError as error:
        raise RowError(str(error)) from error
    metadata = {
        **reply.info,
        "image_path": row.image_path,
        "prompt": _prompt(run, asked),
        "score_threshold": run.thresholds[0],
        "mask_threshold": run.thresholds[1],
        "seed": run.seed if asked.seed is None else asked.seed,
        "files_requested": run.plan.request(),
        "lights": [light.named(patterns) for light in lights],
        "model_versions": work.model_versions,
    }
    try:
        names = write_row(run.folder, row.index, run.plan, reply.pictures, metadata)
    except OSError as error:
        raise RowError(f"{error.filename} cannot be written ({error.strerror})") from error
    return [f"{run.folder.name}/{name}" for name in names]


@contextlib.contextmanager
def _interrupts(sender: Sender, rows: RowQueue, progress: Progress) -> Iterator[threading.Event]:
    """Ctrl-C ends the run in order: first no new calls, the second time no waiting for answers."""
    interrupted = threading.Event()

    def interrupt() -> None:
        if interrupted.is_set():
            sender.drop()
            return
        interrupted.set()
        sender.stop()
        rows.end()
        progress.say(f"stopping: waiting for {sender.in_flight} photos in flight; Ctrl-C again drops them")

    loop = asyncio.get_running_loop()
    # Only the main thread can be interrupted.
    in_main = threading.current_thread() is threading.main_thread()
    signals = (signal.SIGINT, signal.SIGTERM) if in_main else ()
    for number in signals:
        loop.add_signal_handler(number, interrupt)
    try:
        yield interrupted
    finally:
        for number in signals:
            loop.remove_signal_handler(number)


def _set_total(run: Run, progress: Progress) -> None:
    total = count_rows(run.csv)
    progress.total = total if total is None else min(total, run.limit or total)
