"""Make a page, gallery.html, that shows the pictures of a run at a glance, in any browser and without a server.

Example: python -m client.gallery out/val_images
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from contract.command import run  # first: Ctrl-C is one line from here on

# isort: split
from client.errors import TableError
from client.gallery.packed import unpack
from client.gallery.page import write_page
from client.gallery.runs import read_runs
from client.gallery.thumbnails import make_thumbnails

DONE, FAILED, BAD_USAGE = 0, 1, 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv`; return the exit code. On bad options argparse exits."""
    parser = argparse.ArgumentParser(
        prog="python -m client.gallery",
        description=__doc__,
        epilog="The same command again makes a new page, and the thumbnails that are missing or older than their\n"
        "pictures.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    text = "show this run, such as out/val_images, or all runs in this folder, such as out"
    parser.add_argument("folder", metavar="DIR", type=Path, help=text)
    parser.add_argument("--quiet", action="store_true", help="hide the progress of the thumbnails")
    options = parser.parse_args(argv)
    try:
        runs = read_runs(options.folder)
        for packed in runs.folders:
            runs.photos.extend(unpack(packed, options.folder))
        made = make_thumbnails(options.folder, runs.pictures, None if options.quiet else sys.stderr)
        page = write_page(options.folder, runs, made.states)
    except TableError as error:
        print(f"gallery: {error}", file=sys.stderr)
        return BAD_USAGE
    except OSError as error:
        print(f"gallery: {error.filename or options.folder}: {error.strerror or error}", file=sys.stderr)
        return FAILED
    counts = f"{len(runs.pictures)} pictures, {len(runs.failures)} failures"
    print(f"{counts}, {made.written} new thumbnails, {made.lost} pictures that cannot be shown", file=sys.stderr)
    print(f"page: {page}", file=sys.stderr)
    return DONE


if __name__ == "__main__":
    run(main)
