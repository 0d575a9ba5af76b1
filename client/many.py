"""Relighting many photos from Python: the command run_csv, its options as arguments, a summary back.

from client import relight_folder

relight_folder("photos", "out", variants=4, dataset="parquet")  # <12 rows done, 1 failed in 8.1 s: out/photos>
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from client.errors import RelightError, TableError, UnreachableError
from client.output.settings import SettingsChangedError
from client.run.interruptions import Interruptions
from client.run.options import command_parser, dataset_command
from client.run.progress import Progress
from client.run.resume import How, Outcome, relight_input
from client.run.run import Run, cluster_of, plan_run

_OF_THE_COMMAND = ("dry_run", "rebuild_csv", "summary", "processes")


@dataclass(frozen=True, repr=False)
class Summary:
    """What a run has done."""

    folder: Path | str  # of the files; a URL where they are in a store
    table: Path | str  # the output CSV, likewise
    done: int  # rows, with those of earlier runs
    failed: int  # rows, likewise
    missing: int  # rows that are not done yet
    seconds: float
    failures: list[str]  # the first few of this run, a sentence each

    def __repr__(self) -> str:
        missing = f", {self.missing} not done yet" if self.missing else ""
        return f"<{self.done} rows done, {self.failed} failed{missing} in {self.seconds:.1f} s: {self.folder}>"


def relight_folder(folder: str | os.PathLike[str], output: str | os.PathLike[str], **options: Any) -> Summary:
    """Relight the photos of a folder as run_csv does, with the same files, tables and journal; resume such a run.

    Args:
        folder: a folder of photos, or whatever else --csv takes: a table, a glob, a URL.
        output: the folder that gets everything.
        options: those of the command, with underscores: `variants=4`, `files=["output", "albedo"]`,
            `retry_failed=True`, `split={"train": 0.9, "val": 0.1}`, `url=["gpu1:8001", "gpu2:8001"]`,
            `headers={"name": "value"}`.

    Ctrl-C, or the button that stops a cell, waits for the photos in flight and raises KeyboardInterrupt; the same call
    resumes the run.

    Raises RelightError: input, output or an option cannot be used, or no server answers.
    """
    arguments = [f"--csv={os.fspath(folder)}", f"--output={os.fspath(output)}"]
    for name, value in options.items():
        arguments += _arguments(name, value)
    parsed = command_parser(None, kind=_Parser).parse_args(arguments)
    parsed.command = dataset_command(arguments)
    interruptions = Interruptions()
    progress = Progress(sys.stderr, bar=not parsed.quiet, max_failures=parsed.max_failures, end=interruptions.now)
    try:
        run = plan_run(parsed)
        how = How(
            1,
            restart=parsed.restart,
            anyway=parsed.continue_anyway,
            prune=parsed.prune,
            cluster=cluster_of(parsed),
        )
        outcome = _relight(run, how, progress, interruptions)
    except (TableError, SettingsChangedError, UnreachableError) as error:
        raise RelightError(str(error)) from error
    except OSError as error:
        raise RelightError(
            f"{error.filename or output}: {error.strerror or error}; the same call resumes the run"
        ) from error
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
    finally:
        progress.close()
    if outcome.unreachable:
        raise RelightError(f"{outcome.unreachable}; the same call resumes the run") from outcome.unreachable
    if outcome.interrupted and not progress.too_many_failed:
        raise KeyboardInterrupt
    places, totals = run.folder(), outcome.totals
    return Summary(
        places.shown(places.path),
        places.shown(places.table),
        totals.done,
        totals.failed,
        totals.missing,
        progress.seconds,
        progress.failures,
    )


class _Parser(argparse.ArgumentParser):
    """Says in an exception what is wrong with an option."""

    def error(self, message: str) -> NoReturn:
        raise RelightError(message)


def _arguments(name: str, value: Any) -> list[str]:
    """The arguments of the command for one option. Raises RelightError."""
    if name in _OF_THE_COMMAND:
        raise RelightError(f"relight_folder has no {name}; use the command client/run_csv.py")
    flag = f"--{name.replace('_', '-')}"
    if value is None or value is False:
        return []
    if value is True:
        return [flag]
    if name == "headers":
        return [f"--header={header}:{text}" for header, text in value.items()]
    if isinstance(value, Mapping):
        value = [f"{key}={share}" for key, share in value.items()]
    if not isinstance(value, list | tuple):
        return [f"{flag}={value}"]
    return [f"{flag}={one}" for one in value] if name in ("url", "header") else [f"{flag}={','.join(map(str, value))}"]


def _relight(run: Run, how: How, progress: Progress, interruptions: Interruptions) -> Outcome:
    """Relight the input in a thread: in a notebook an event loop runs in the caller's own."""
    with ThreadPoolExecutor(1) as pool:
        work = pool.submit(relight_input, run, how, progress, interruptions)
        while True:
            try:
                return work.result()
            except KeyboardInterrupt:
                interruptions.from_another_thread()
