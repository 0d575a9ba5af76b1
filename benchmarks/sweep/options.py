"""The sweep's command line."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.sweep.points import ENSEMBLE, NETWORKS

ROOT = Path(__file__).resolve().parent.parent.parent
REQUESTS_ON_CPU, REQUESTS_ON_GPU = 32, 1000  # some seconds on either
LARGEST = 2**31 - 1  # what a config's max_batch_size can hold
CONCURRENCY = re.compile(r"[1-9]\d*x?")


@dataclass(frozen=True)
class Options:
    """What to sweep and where to keep it; the fields are the command's options, explained in its help."""

    output: Path
    models: tuple[str, ...]
    batches: tuple[int, ...]
    concurrency: tuple[str, ...]
    instances: tuple[int, ...]
    photos: tuple[Path, ...]
    prompt: str
    measurement_requests: int | None
    timeout: float
    restart: bool
    memory_share: float
    apply: bool
    repository: Path
    gpus: int
    url: str | None
    metrics_url: str | None
    json: Path | None
    extra: tuple[str, ...]


def parse_arguments(arguments: Sequence[str]) -> Options:
    """Read the command line; what follows `--` is for perf_analyzer."""
    own, extra = list(arguments), []
    if "--" in own:
        cut = own.index("--")
        own, extra = own[:cut], own[cut + 1 :]
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks sweep",
        description="Batch size against throughput, latency and GPU memory, with a real photo: each model alone (with "
        "the tensors that the models before it give), and the ensemble. A point loads a model with another "
        "max_batch_size and keeps requests of one photo in flight, which Triton joins to batches.",
        epilog="what follows ` -- ` goes to perf_analyzer as it is, e.g. `-- --shared-memory system`",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add_what_is_swept(parser)
    add_where_it_runs(parser)
    add_what_comes_of_it(parser)
    return check(parser, argparse.Namespace(**vars(parser.parse_args(own)), extra=tuple(extra)))


def add_what_is_swept(parser: argparse.ArgumentParser) -> None:
    """The options that make the points."""
    parser.add_argument(
        "--models",
        type=words,
        default=",".join((*NETWORKS, ENSEMBLE)),
        metavar="NAME,…",
        help="models of the ensemble, or it",
    )
    parser.add_argument(
        "--batches", type=numbers, default="1,4,8,16,32", metavar="N,…", help="max_batch_size to load with"
    )
    parser.add_argument(
        "--concurrency",
        type=words,
        default="2x",
        metavar="N|Nx,…",
        help="requests in flight; Nx: N for each place in a batch of each instance",
    )
    parser.add_argument(
        "--instances",
        type=numbers,
        default=argparse.SUPPRESS,
        metavar="N,…",
        help="instances of each network on each GPU; without it as served",
    )
    parser.add_argument(
        "--photo",
        type=Path,
        action="append",
        default=argparse.SUPPRESS,
        metavar="FILE",
        help="what to send instead of samples/grace_hopper.jpg; again for several: recombine joins equal sizes only",
    )
    parser.add_argument("--prompt", default="person", help="whom to cut out")
    parser.add_argument(
        "--measurement-requests",
        type=int,
        default=argparse.SUPPRESS,
        metavar="N",
        help=f"requests of a point, at least, and at least 3 × what is in flight; without it {REQUESTS_ON_CPU}, "
        f"on a GPU {REQUESTS_ON_GPU}",
    )
    parser.add_argument("--timeout", type=float, default=600.0, metavar="SECONDS", help="longest time of a point")


def add_where_it_runs(parser: argparse.ArgumentParser) -> None:
    """The options that say which server is swept."""
    parser.add_argument("--gpus", type=int, default=0, metavar="N", help="GPUs of the embedded server; 0: the CPU")
    parser.add_argument(
        "--repository", type=Path, default=ROOT / "model_repository", help="what the embedded server serves"
    )
    parser.add_argument(
        "--url",
        metavar="HOST:PORT",
        default=argparse.SUPPRESS,
        help="sweep a running server instead, by gRPC; it must load models on request: `python -m server "
        "--model-control`, `tritonserver --model-control-mode=explicit --load-model=*`",
    )
    parser.add_argument(
        "--metrics-url",
        metavar="HOST:PORT",
        default=argparse.SUPPRESS,
        help="that server's metrics; without them GPU memory stays empty",
    )


def add_what_comes_of_it(parser: argparse.ArgumentParser) -> None:
    """The options that say what is kept and what follows."""
    parser.add_argument(
        "--output", type=Path, default=Path("out/sweep"), metavar="DIR", help="points, tables and plots; resumes there"
    )
    parser.add_argument("--restart", action="store_true", help="forget the points in the output folder")
    parser.add_argument(
        "--memory-share", type=float, default=0.8, metavar="0–1", help="of a GPU's memory the recommendation may use"
    )
    parser.add_argument(
        "--apply",
        action="store_true",
        help="write the recommended configs into --repository and say what serves them",
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", default=argparse.SUPPRESS, help="write the figures there too"
    )


def check(parser: argparse.ArgumentParser, given: argparse.Namespace) -> Options:
    """Turn what was parsed into options; refuse with a sentence what makes no sense."""
    absent = {"instances": (), "photo": [ROOT / "samples" / "grace_hopper.jpg"], "url": None, "metrics_url": None}
    absent |= {"measurement_requests": None, "json": None}
    given = argparse.Namespace(**{**absent, **vars(given)})
    for value in given.concurrency:
        if not CONCURRENCY.fullmatch(value):
            parser.error(f"--concurrency takes numbers such as 16 and multiples such as 2x, not {value!r}")
    if given.instances and not (given.gpus or given.url):
        parser.error("--instances counts instances on GPUs: leave it out on a CPU, or say how many GPUs with --gpus")
    if given.measurement_requests is not None and given.measurement_requests < 1:
        parser.error(f"--measurement-requests is a number of requests, not {given.measurement_requests}")
    if not given.timeout > 0.0:
        parser.error(f"--timeout is a number of seconds, not {given.timeout:g}")
    if not 0.0 < given.memory_share <= 1.0:
        parser.error(f"--memory-share is a part of the memory, above 0 and up to 1, not {given.memory_share:g}")
    if given.apply and ENSEMBLE not in given.models:
        parser.error(f"--apply needs the ensemble's points: add {ENSEMBLE} to --models")
    if given.gpus < 0:
        parser.error(f"--gpus is a number of GPUs, 0 for none, not {given.gpus}")
    values = vars(given)
    photos = tuple(values.pop("photo"))
    for photo in photos:
        if not photo.is_file():
            parser.error(f"There is no photo {photo}: name one with --photo")
    return Options(**values, photos=photos)


def words(text: str) -> tuple[str, ...]:
    """Parse names separated by commas; each once, in the order given."""
    found = tuple(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))
    if not found:
        raise argparse.ArgumentTypeError("the list is empty")
    return found


def numbers(text: str) -> tuple[int, ...]:
    """Parse positive numbers separated by commas; each once, in the order given."""
    found = words(text)
    wrong = [word for word in found if not word.isdecimal() or not 1 <= int(word) <= LARGEST]
    if wrong:
        raise argparse.ArgumentTypeError(f"{wrong[0]!r} is not a number from 1 to {LARGEST}")
    return tuple(dict.fromkeys(int(word) for word in found))
