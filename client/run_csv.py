"""The command: photos of a CSV in, relighting training pairs and a new CSV out; the same command goes on with it."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

if not __package__:  # run as a script: the project's root takes the place of this folder
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from client.errors import TableError, UnreachableError
from client.input.source import WHOLE, stem_of
from client.light.distributions import Uniform
from client.output.folder import SettingsChangedError
from client.output.plan import Plan
from client.run.dry_run import check_input
from client.run.interruptions import Interruptions
from client.run.options import command_parser
from client.run.progress import Progress, closing_words, report
from client.run.resume import ask_servers, rebuild_tables, relight_input
from client.run.run import Connection, Run
from client.triton.allocator import keep_freed_memory
from client.triton.credentials import read_tls
from client.triton.request import URL

DONE, SOME_FAILED, BAD_USAGE, NO_SERVER, INTERRUPTED = 0, 1, 2, 3, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv`; returns the exit code. Bad options exit as argparse does."""
    options = command_parser(__doc__).parse_args(argv)
    keep_freed_memory()
    interruptions = Interruptions()
    progress = Progress(sys.stderr, bar=not options.quiet, max_failures=options.max_failures, end=interruptions.now)
    try:
        run = _plan_run(options)
        if options.dry_run:
            return _check(run, progress)
        if options.rebuild_csv:
            print(f"table: {run.table}, {rebuild_tables(run).done} rows done", file=sys.stderr)
            return DONE
        return _relight(run, options, progress, interruptions)
    except (TableError, SettingsChangedError) as error:
        return _complain(error, BAD_USAGE)
    except UnreachableError as error:
        return _complain(error, NO_SERVER)
    except OSError as error:
        where = error.filename or options.output
        return _complain(f"{where}: {error.strerror or error}; the same command goes on from here", SOME_FAILED)
    except KeyboardInterrupt:
        return _complain("interrupted; the same command goes on from here", INTERRUPTED)
    finally:
        progress.close()


def _relight(run: Run, options: argparse.Namespace, progress: Progress, interruptions: Interruptions) -> int:
    totals, interrupted, unreachable = relight_input(
        run,
        progress,
        interruptions,
        processes=options.processes,
        restart=options.restart,
        anyway=options.continue_anyway,
    )
    code = SOME_FAILED if totals.failed else DONE
    if unreachable:
        code = _complain(unreachable, NO_SERVER)
    elif interrupted:
        code = SOME_FAILED if progress.too_many_failed else INTERRUPTED
    progress.close()
    print(closing_words(progress, run, totals), file=sys.stderr)
    if options.summary:
        options.summary.write_text(json.dumps(report(progress, totals, code), indent=2) + "\n")
    return code


def _check(run: Run, progress: Progress) -> int:
    sentence = check_input(run, progress)
    facts = ask_servers(run, progress)
    versions = ", ".join(f"{name} {version}" for name, version in sorted(facts.model_versions.items()))
    print(f"{sentence}\nservers: {facts.window} calls in flight, models {versions}", file=sys.stderr)
    return SOME_FAILED if progress.failed else DONE


def _complain(sentence: object, code: int) -> int:
    print(f"run_csv: {sentence}", file=sys.stderr)
    return code


def _plan_run(options: argparse.Namespace) -> Run:
    """Options as a run. Raises TableError where they do not go together."""
    image_format, quality = options.format
    pictures, keep_input = options.files
    plan = Plan(
        pictures,
        image_format,
        quality,
        options.variants,
        keep_input,
        options.writer,
        options.layout,
        options.rows_per_tar,
    )
    lighting = options.lighting
    if options.gray is not None:
        gray = Uniform(options.gray, options.gray)
        lighting = replace(lighting, drawn={**lighting.drawn, "gray": gray})
    shard = options.shard or WHOLE
    if plan.writer == "webdataset":
        shard = replace(shard, block=plan.rows_per_tar)
    run = Run(
        input=options.csv,
        limit=options.limit,
        id_column=options.id_column,
        shard=shard,
        folder=options.output / stem_of(options.csv),
        prompt=options.prompt,
        thresholds=(options.score_threshold, options.mask_threshold),
        seed=options.seed,
        lighting=lighting,
        plan=plan,
        connection=_connection(options),
        window=options.window,
        retry_failed=options.retry_failed,
        max_failures=options.max_failures,
    )
    if run.table.resolve() == Path(options.csv).resolve():
        raise TableError(f"{run.table} is the input itself; choose another folder with --output")
    return run


def _connection(options: argparse.Namespace) -> Connection:
    tls = options.tls or any((options.ca, options.cert, options.key))
    try:
        if tls:
            read_tls(options.ca, options.cert, options.key)
    except ValueError as error:
        raise TableError(str(error)) from error
    return Connection(
        tuple(options.url or [URL]),
        tls,
        options.ca,
        options.cert,
        options.key,
        tuple(options.header),
        options.timeout,
        options.wait_for_server,
    )


if __name__ == "__main__":
    sys.exit(main())
