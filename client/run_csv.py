"""Relight the photos of a CSV on Triton servers; write pictures, metadata and a new CSV.

Example: python client/run_csv.py --csv val_images.csv --output out/ --variants 4
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

if not __package__:  # run as a script: import from the project's root, not from this folder
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    import_module("contract.command")  # before the imports that take a second: Ctrl-C is one line from here on

from client.errors import TableError, UnreachableError
from client.output.files import check_writable
from client.output.settings import SettingsChangedError
from client.run import event_loop
from client.run.dry_run import describe, foresee
from client.run.interruptions import Interruptions
from client.run.options import command_parser, dataset_command
from client.run.progress import Progress, closing_words, report
from client.run.resume import How, rebuild_tables, relight_input
from client.run.run import Run, cluster_of, plan_run
from client.triton.allocator import keep_freed_memory
from contract.command import INTERRUPTED, run

DONE, SOME_FAILED, BAD_USAGE, NO_SERVER = 0, 1, 2, 3


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv`; return the exit code. On bad options argparse exits."""
    options = command_parser(__doc__).parse_args(argv)
    options.command = dataset_command(argv)
    if options.ray is None:  # else the pictures go through other processes
        keep_freed_memory()
    interruptions = Interruptions()
    progress = Progress(sys.stderr, bar=not options.quiet, max_failures=options.max_failures, end=interruptions.now)
    try:
        run = plan_run(options)
        if options.rebuild_csv and not options.dry_run:
            folder, done = run.folder(), rebuild_tables(run).done
            print(f"table: {folder.shown(folder.table)}, {done} rows done", file=sys.stderr)
            return DONE
        if options.summary:
            _open_first(options.summary, dry=options.dry_run)
        how = How(
            options.processes,
            restart=options.restart,
            anyway=options.continue_anyway,
            prune=options.prune,
            cluster=cluster_of(options),
        )
        if options.dry_run:
            return _foresee(run, how, progress, interruptions)
        return _run(run, how, options.summary, progress, interruptions)
    except (TableError, SettingsChangedError) as error:
        return _complain(error, BAD_USAGE)
    except UnreachableError as error:
        return _complain(error, NO_SERVER)
    except OSError as error:
        where = error.filename or options.output
        return _complain(f"{where}: {error.strerror or error}; the same command resumes the run", SOME_FAILED)
    except KeyboardInterrupt:
        return _complain("interrupted; the same command resumes the run", INTERRUPTED)
    finally:
        progress.close()


def _run(run: Run, how: How, summary: Path | None, progress: Progress, interruptions: Interruptions) -> int:
    outcome = relight_input(run, how, progress, interruptions)
    code = SOME_FAILED if outcome.totals.failed else DONE
    if outcome.unreachable:
        code = _complain(outcome.unreachable, NO_SERVER)
    elif outcome.interrupted:
        code = SOME_FAILED if progress.too_many_failed else INTERRUPTED
    progress.close()
    print(closing_words(progress, run.folder(), outcome.totals), file=sys.stderr)
    if summary:
        summary.write_text(json.dumps(report(progress, outcome.totals, code), indent=2) + "\n", "utf-8")
    return code


def _foresee(run: Run, how: How, progress: Progress, interruptions: Interruptions) -> int:
    outlook = event_loop.run(foresee(run, how, progress, interruptions))
    progress.close()
    print(describe(outlook, progress), file=sys.stderr)
    if not outlook.servers:
        return NO_SERVER
    if outlook.interrupted and not progress.too_many_failed:
        return INTERRUPTED
    return SOME_FAILED if progress.failed or outlook.failed else DONE


def _open_first(file: Path, *, dry: bool) -> None:
    """Find out before the first photo that a file cannot be written after the last. Raises TableError."""
    try:
        if dry:
            check_writable(file)
        else:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.open("ab").close()
    except OSError as error:
        raise TableError(f"--summary {file} cannot be written ({error.strerror}); choose another file") from error


def _complain(sentence: object, code: int) -> int:
    print(f"run_csv: {sentence}", file=sys.stderr)
    return code


if __name__ == "__main__":
    run(main)
