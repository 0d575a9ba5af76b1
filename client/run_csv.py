"""The command: photos of a CSV in, relighting training pairs and a new CSV out."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

if not __package__:  # run as a script: the project's root takes the place of this folder
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from client.lighting import Light, Lighting, draw_lights, light_tensor
from client.progress import Progress, summary
from client.rows import Row, RowError, RowQueue, TableError, count_rows, read_image, read_table
from client.sender import Sender, StoppedError, UnreachableError, connect, find_server, unpack
from client.writer import PICTURES, OutputTable, Plan, parse_format, parse_pictures, write_row

DONE, SOME_FAILED, BAD_USAGE, NO_SERVER, INTERRUPTED = 0, 1, 2, 3, 130
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


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv`; returns the exit code. Bad options exit as argparse does."""
    options = _parser().parse_args(argv)
    progress = Progress(sys.stderr, bar=not options.quiet)
    try:
        run = _plan_run(options)
        code = asyncio.run(_run(run, options.url, options.wait_for_server, progress))
    except TableError as error:
        return _complain(error, BAD_USAGE)
    except UnreachableError as error:
        return _complain(error, NO_SERVER)
    except OSError as error:
        where = error.filename or options.output
        return _complain(f"{where}: {error.strerror or error}; the run ended early", SOME_FAILED)
    except KeyboardInterrupt:
        return _complain("interrupted before the first row", INTERRUPTED)
    finally:
        progress.close()
    print(summary(progress, run.folder, run.table), file=sys.stderr)
    return code


def _complain(sentence: object, code: int) -> int:
    print(f"run_csv: {sentence}", file=sys.stderr)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="run_csv.py",
        description=__doc__,
        epilog="exit codes: 0 every row done, 1 some rows failed, 2 bad usage, 3 no server, 130 interrupted",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    share, seconds = _number(float, 0, 1), _number(float, 0, 1e9)
    count, gray = _number(int, 1, 1e12), _number(int, 0, 255)
    pictures, image_format = _sentence(parse_pictures), _sentence(parse_format)
    lighting, plan = Lighting(), Plan()
    kept = ",".join(plan.pictures)
    for flag, metavar, text in (
        ("--csv", "FILE", "table with a column image_path"),
        ("--output", "DIR", "folder for what comes out"),
    ):
        parser.add_argument(flag, metavar=metavar, type=Path, required=True, default=argparse.SUPPRESS, help=text)
    options: tuple[tuple[str, str, Callable[[str], Any], object, str], ...] = (
        ("--url", "HOST:PORT", _url, "localhost:8001", "the server's gRPC address"),
        ("--prompt", "TEXT", str, "person", "what to find in a photo"),
        ("--score-threshold", "S", share, 0.5, "least score of a find, 0-1"),
        ("--mask-threshold", "M", share, 0.5, "least mask value inside, 0-1"),
        ("--variants", "K", count, plan.variants, "lights per photo"),
        ("--files", "NAMES", pictures, kept, f"of {', '.join(PICTURES)}"),
        ("--format", "F", image_format, plan.format, "png, jpeg[:quality] or webp[:quality]"),
        ("--seed", "N", int, 0, "of the lights"),
        ("--gray", "N", gray, lighting.gray, "of the background, 0-255"),
        ("--limit", "N", count, None, "stop after so many rows"),
        ("--window", "N", count, None, "calls in flight; None: as many as fill the server"),
        ("--timeout", "SECONDS", seconds, 300.0, "for each call"),
        ("--wait-for-server", "SECONDS", seconds, 0.0, "until it must be ready"),
    )
    for flag, metavar, kind, default, text in options:
        parser.add_argument(flag, metavar=metavar, type=kind, default=default, help=text)
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    return parser


def _plan_run(options: argparse.Namespace) -> Run:
    """Options as a run. Raises TableError where the output would replace the input."""
    stem = options.csv.stem
    table = options.output / f"{stem}.csv"
    if table.resolve() == options.csv.resolve():
        raise TableError(f"{table} is the input itself; choose another folder with --output")
    image_format, quality = options.format
    return Run(
        csv=options.csv,
        folder=options.output / stem,
        table=table,
        prompt=options.prompt,
        thresholds=(options.score_threshold, options.mask_threshold),
        seed=options.seed,
        lighting=replace(Lighting(), gray=options.gray),
        plan=Plan(options.files, image_format, quality, options.variants),
        limit=options.limit,
        window=options.window,
        timeout=options.timeout,
    )


async def _run(run: Run, url: str, wait: float, progress: Progress) -> int:
    """Every row through the server at `url`; returns the exit code."""
    source = read_table(run.csv)
    client = connect(url)
    try:
        server = await find_server(client, url, wait)
        window = run.window or server.window
        sender = Sender(
            client,
            window=window,
            timeout=run.timeout,
            prompt=run.prompt,
            thresholds=run.thresholds,
            files=run.plan.request(),
            pictures=run.plan.pictures,
        )
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_FILE_THREADS))
        table = _open_output(run, source.columns)
        rows = RowQueue(source, _SPAN_WINDOWS * window, run.limit)
        progress.begin()
        threading.Thread(target=_set_total, args=(run, progress), daemon=True).start()

        async def work() -> None:
            while (row := await rows.next()) is not None:
                with contextlib.suppress(StoppedError):
                    files, error = await _relight(run, row, sender, server.model_versions)
                    rows.finished(table.add(row.index, row.values, files, error))
                    progress.row_failed(f"{row}: {error}") if error else progress.row_done()

        try:
            with _interrupts(sender, rows, progress) as interrupted:
                # Twice the window: photos are read and written while the window is full of calls.
                await asyncio.gather(*(work() for _ in range(2 * window)))
        finally:
            rows.end()
            table.close()
    finally:
        await client.close()
    if interrupted.is_set():
        return INTERRUPTED
    return SOME_FAILED if progress.failed else DONE


def _open_output(run: Run, columns: Sequence[str]) -> OutputTable:
    try:
        run.folder.mkdir(parents=True, exist_ok=True)
        return OutputTable(run.table, columns)
    except OSError as error:
        problem = f"{error.filename} cannot be written ({error.strerror})"
        raise TableError(f"{problem}; choose another folder with --output") from error


async def _relight(run: Run, row: Row, sender: Sender, model_versions: dict[str, str]) -> tuple[list[str], str]:
    """One row from its photo to its files: their paths beside the output CSV, or why not."""
    try:
        if row.error is not None:
            raise RowError(row.error)
        lights, inputs = await asyncio.to_thread(_prepare, run, row, sender)
        answer = await sender.send(inputs)
        return await asyncio.to_thread(_store, run, row, lights, answer, model_versions), ""
    except RowError as error:
        return [], str(error)


def _prepare(run: Run, row: Row, sender: Sender) -> tuple[list[Light], list[Any]]:
    image = read_image(row.image_path, run.csv.parent)
    lights = draw_lights(run.lighting, run.seed, row.image_path, run.plan.variants)
    return lights, sender.inputs(image, light_tensor(lights))


def _store(run: Run, row: Row, lights: list[Light], answer: Any, model_versions: dict[str, str]) -> list[str]:
    reply = unpack(answer, {name: run.plan.count(name) for name in run.plan.pictures})
    metadata = {
        **reply.info,
        "image_path": row.image_path,
        "prompt": run.prompt,
        "score_threshold": run.thresholds[0],
        "mask_threshold": run.thresholds[1],
        "seed": run.seed,
        "files_requested": run.plan.request(),
        "lights": [light.named() for light in lights],
        "model_versions": model_versions,
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


def _url(text: str) -> str:
    host, _, port = text.rpartition(":")
    if not host or "/" in text or not port.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} must be HOST:PORT, without http://")
    return text


def _number(kind: type[int] | type[float], low: float, high: float) -> Callable[[str], float]:
    """A parser of numbers from `low` to `high`."""

    def parsed(text: str) -> float:
        with contextlib.suppress(ValueError):
            if low <= (number := kind(text)) <= high:
                return number
        noun = "a whole number" if kind is int else "a number"
        raise argparse.ArgumentTypeError(f"{text!r} must be {noun} from {low:g} to {high:g}")

    return parsed


def _sentence(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    """A parser whose ValueError argparse shows as it is."""

    def parsed(text: str) -> Any:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return parsed


if __name__ == "__main__":
    sys.exit(main())
