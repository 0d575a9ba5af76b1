"""The dry run: checks the table, its photos and the servers; sends and writes nothing."""

from __future__ import annotations

import os
from pathlib import Path

from client.errors import RowError
from client.input.photos import check_image
from client.light.columns import find_columns
from client.output.numbering import Numbering
from client.run.progress import Progress, gone_words
from client.run.resume import gone_rows
from client.run.run import Run


async def check_servers(run: Run, progress: Progress) -> str:
    """Ask the servers; return their window and models in a sentence. Raises UnreachableError."""
    async with run.access.ready(run.window, progress.say) as (_, facts):
        versions = ", ".join(f"{name} {version}" for name, version in sorted(facts.model_versions.items()))
        return f"servers: {facts.window} calls in flight, models {versions}"


def check_input(run: Run, progress: Progress) -> str:
    """Check every row and report failures to `progress`; return in a sentence what a run would do.

    Photos with a URL are not checked. Raises TableError, or OSError if the output cannot be written.
    """
    source = run.source()
    columns = find_columns(source.columns)
    for warning in columns.warnings:
        progress.say(f"warning: {warning}")
    past = run.folder().past()
    state_of, numbering = past.finder(), Numbering(past, source.identifier(columns.places.values()))
    to_do = 0
    for row in source.rows(numbering):
        to_do += state_of(row.identity) not in run.kept
        try:
            if row.error is not None:
                raise RowError(row.error)
            columns.read(row.values)
            check_image(row.image_path, row.folder or source.folder)
            progress.row_done()
        except RowError as error:
            progress.row_failed(f"{row}: {error}")
    _check_writable(run.output)
    for sentence in filter(None, (source.left_out(), gone_words(gone_rows(run, numbering)))):
        progress.say(sentence)
    return f"{progress.done + progress.failed} rows, {progress.failed} of them would fail; {to_do} are not done yet"


def _check_writable(folder: Path) -> None:
    """Raise OSError if `folder` cannot be created."""
    nearest = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    if not nearest.is_dir():
        raise NotADirectoryError(20, "Not a directory", str(nearest))
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise PermissionError(13, "Permission denied", str(nearest))
