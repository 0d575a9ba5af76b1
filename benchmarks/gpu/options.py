"""The command line of `python -m benchmarks gpu`."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from benchmarks.gpu.networks import RECIPES
from benchmarks.gpu.page import PAGE
from benchmarks.gpu.variants import VARIANTS

RESULTS = Path("out/gpu/results.json")
BATCHES, TINY_BATCHES = (8, 16, 1, 32, 4, 2), (2, 1)
MINUTES, SERVICE_MINUTES, TINY_MINUTES = 8.0, 9.0, 12.0
PHOTOS, TINY_PHOTOS = 512, 24


def parse_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse the command line; what cannot be exits as argparse does."""
    line = argparse.ArgumentParser(
        prog="python -m benchmarks gpu",
        description="Networks on one GPU in every form, or the whole service on it. What does not fit the time is "
        "listed as not measured.",
    )
    line.add_argument("--dry-run", action="store_true", help="rehearse with tiny networks on the CPU")
    line.add_argument("--service", action="store_true", help="the embedded server and the client instead of networks")
    line.add_argument(
        "--minutes",
        type=float,
        metavar="M",
        help=f"time to take (default: {MINUTES:g}; in a dry run at most {TINY_MINUTES:g}); 0 only fills the page",
    )
    line.add_argument("--networks", type=names_of(RECIPES), default=(), metavar="A,B", help=", ".join(RECIPES))
    line.add_argument("--variants", type=names_of(VARIANTS), default=(), metavar="A,B", help=", ".join(VARIANTS))
    text = "in this order; answers are compared at the first (default: 8,16,1,32,4,2)"
    line.add_argument("--batches", type=sizes, metavar="N,M", help=text)
    line.add_argument("--photos", type=int, metavar="N", help=f"of --service (default: {PHOTOS})")
    line.add_argument("--json", type=Path, metavar="FILE", help=f"results, added to what is there (default: {RESULTS})")
    line.add_argument("--page", type=Path, metavar="FILE", help=f"fill this page from the results, such as {PAGE.name}")
    line.add_argument(
        "--start-method",
        choices=("fork", "spawn"),
        default="fork",
        help="spawn builds every network anew in each process: slow, for a PyTorch whose forks do not reach the GPU",
    )
    options = line.parse_args(arguments)
    if options.minutes is None:
        options.minutes = SERVICE_MINUTES if options.service else TINY_MINUTES if options.dry_run else MINUTES
    options.batches = options.batches or (TINY_BATCHES if options.dry_run else BATCHES)
    options.photos = options.photos or (TINY_PHOTOS if options.dry_run else PHOTOS)
    options.json = options.json or RESULTS.with_name("dry-run.json" if options.dry_run else RESULTS.name)
    return options


def names_of(known: Iterable[str]) -> Callable[[str], tuple[str, ...]]:
    """A parser of names among `known`, separated by commas."""
    names = tuple(known)

    def parse(text: str) -> tuple[str, ...]:
        for name in text.split(","):
            if name not in names:
                raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(names)}")
        return tuple(text.split(","))

    return parse


def sizes(text: str) -> tuple[int, ...]:
    """Parse batch sizes separated by commas."""
    try:
        batches = tuple(int(size) for size in text.split(","))
    except ValueError:
        batches = ()
    if not batches or min(batches) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no list of batch sizes, such as 8,1,16")
    return batches
