"""The command: photos of a CSV in, relighting training pairs and a new CSV out."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

if not __package__:  # run as a script: the project's root takes the place of this folder
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from client.options import command_parser
from client.pipeline import Run, relight_table
from client.progress import Progress, summary
from client.rows import TableError
from client.sender import UnreachableError
from client.settings import Uniform
from client.writer import Plan

DONE, SOME_FAILED, BAD_USAGE, NO_SERVER, INTERRUPTED = 0, 1, 2, 3, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv`; returns the exit code. Bad options exit as argparse does."""
    options = command_parser(__doc__).parse_args(argv)
    progress = Progress(sys.stderr, bar=not options.quiet)
    try:
        run = _plan_run(options)
        interrupted = asyncio.run(relight_table(run, options.url, options.wait_for_server, progress))
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
    if interrupted:
        return INTERRUPTED
    return SOME_FAILED if progress.failed else DONE


def _complain(sentence: object, code: int) -> int:
    print(f"run_csv: {sentence}", file=sys.stderr)
    return code


def _plan_run(options: argparse.Namespace) -> Run:
    """Options as a run. Raises TableError where the output would replace the input."""
    stem = options.csv.stem
    table = options.output / f"{stem}.csv"
    if table.resolve() == options.csv.resolve():
        raise TableError(f"{table} is the input itself; choose another folder with --output")
    image_format, quality = options.format
    lighting = options.lighting
    if options.gray is not None:
        lighting = replace(lighting, gray=Uniform(options.gray, options.gray))
    return Run(
        csv=options.csv,
        folder=options.output / stem,
        table=table,
        prompt=options.prompt,
        thresholds=(options.score_threshold, options.mask_threshold),
        seed=options.seed,
        lighting=lighting,
        plan=Plan(options.files, image_format, quality, options.variants),
        limit=options.limit,
        window=options.window,
        timeout=options.timeout,
    )


if __name__ == "__main__":
    sys.exit(main())
