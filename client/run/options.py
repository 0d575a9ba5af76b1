"""The options of run_csv.py: their names and help texts, and the messages for invalid values."""

from __future__ import annotations

import argparse
import contextlib
import shlex
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from client.input.backgrounds import PLAIN, parse_backgrounds
from client.input.duplicates import POLICIES
from client.input.source import parse_shard, public_place
from client.input.splits import parse_splits
from client.light.draw import MOST_LIGHTS
from client.light.environment import BUILT_IN, read_environments
from client.light.instruction import INSTRUCTIONS_FILE, read_phrases
from client.light.lighting import LIGHTING_FILE, read_lighting
from client.output.plan import DATASETS, LAYOUTS, Plan, parse_format, parse_pictures
from client.triton.credentials import parse_header
from client.triton.request import MASK_THRESHOLD, PROMPT, SCORE_THRESHOLD, TIMEOUT, URL
from contract.names import PICTURES
from contract.photos import ANY_PHOTO, CROPS, RANGES

Option = tuple[str, str, Callable[[str], Any], object, str]
Group = tuple[str, tuple[Option, ...], tuple[tuple[str, str], ...]]
_INPUT = "read image_path from a CSV or Parquet file or URL, - (stdin), a folder, or a 'glob' of images"
_OUTPUT = "write everything into this folder, or s3://, gs:// … (webdataset and parquet)"
_LIT = f"light the pictures by the .hdr and .exr maps of this folder, or by {BUILT_IN} ones"
_BEHIND = f"put {', '.join(PLAIN)} or pictures of a folder behind the person"
_URL = f"use the server at this gRPC address; repeat for more servers (default: {URL})"
_HEADER = "send a header with each call, such as an API key; repeat for more"
_OF_DATASET, _OF_THE_RUN = ("input", "person and light", "output"), ("--shard", "--summary", "--work")
_RAY = "relight on the nodes of this Ray cluster: auto, local (this machine), HOST:PORT or ray://HOST:PORT"
_RESUME_SWITCHES = (
    ("--retry-failed", "retry rows that failed because of their photo"),
    ("--restart", "do every row again"),
    ("--continue-anyway", "keep rows made with other settings, and use these for the rest"),
    ("--prune", "remove the files of rows that are no longer in the table"),
    ("--rebuild-csv", "write only the tables and what describes the dataset, from the journal"),
    ("--dry-run", "check table, servers, and photos up to the networks; write nothing"),
)


def command_parser(
    description: str | None, *, as_written: bool = False, kind: type[argparse.ArgumentParser] = argparse.ArgumentParser
) -> argparse.ArgumentParser:
    """The parser of run_csv.py's command line, or one that gives only what is `as_written` there, as texts."""
    parser = kind(
        prog="run_csv.py",
        usage="%(prog)s --csv INPUT --output DIR [OPTION ...]",
        description=description,
        epilog="The same command resumes a run that has ended for any reason.\n"
        "Exit codes: 0 every row done, 1 some rows failed, 2 bad usage, 3 no server, 130 interrupted.",
        formatter_class=_Formatter,
    )
    parser.add_argument("--csv", metavar="INPUT", required=True, help=_INPUT)
    parser.add_argument("--output", metavar="DIR", required=True, help=_OUTPUT)
    for title, options, switches in _groups():
        group = parser.add_argument_group(title)
        for flag, metavar, parse, default, text in options:
            if as_written:
                parse, default = str, argparse.SUPPRESS
            group.add_argument(flag, metavar=metavar, type=parse, default=default, help=text)
        for flag, text in switches:
            group.add_argument(flag, action="store_true", help=text)
        if title == "servers":
            group.add_argument("--url", metavar="HOST:PORT", type=_url, action="append", help=_URL)
            header = _sentence(parse_header)
            group.add_argument("--header", metavar="NAME:VALUE", type=header, action="append", default=[], help=_HEADER)
    parser.add_argument("--quiet", action="store_true", help="hide the progress bar")
    parser.add_argument("--writer", type=_sentence(_renamed), help=argparse.SUPPRESS)
    parser.set_defaults(command="")
    return parser


def dataset_command(arguments: Sequence[str] | None) -> str:
    """The command with those of the `arguments` that decide about the dataset, for its card.

    Two runs that make the same files have the same one, wherever they write to.
    """
    written = vars(command_parser(None, as_written=True).parse_args(arguments))
    words = ["python", "client/run_csv.py", "--csv", public_place(written["csv"]), "--output", "out"]
    for title, options, _ in _groups():
        for flag, *_ in options:
            name = flag[2:].replace("-", "_")
            if title in _OF_DATASET and flag not in _OF_THE_RUN and name in written:
                words += [flag, written[name]]
    return shlex.join(words)


def _groups() -> Iterator[Group]:
    """The options by their titles, with a value and without."""
    text = "end the run when more rows than that have failed"
    most_failures: Option = ("--max-failures", "N", _number(int, 0, 1e12), None, text)
    yield "input", (*_input_options(), *_photo_options()), ()
    yield "person and light", _picture_options(), ()
    yield "output", _output_options(), ()
    yield "resume", (most_failures,), _RESUME_SWITCHES
    yield "servers", _server_options(), (("--tls", "encrypt the connections"),)


def _renamed(text: str) -> str:
    raise ValueError(f"it is called --dataset now, with one of {', '.join(DATASETS)}; folder was files")


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Appends the default, if there is one, to the help text of an option."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        no_default = action.default is None or action.default is False or action.default in (argparse.SUPPRESS, [], ())
        return action.help if no_default else f"{action.help} (default: %(default)s)"


def _input_options() -> tuple[Option, ...]:
    return (
        ("--limit", "N", _number(int, 1, 1e12), None, "use only the first N rows"),
        ("--shard", "I/N", _sentence(parse_shard), None, "use every N-th row from the I-th, as one of N machines"),
        (
            "--duplicates",
            "D",
            _one_of(POLICIES),
            POLICIES[0],
            "warn of, skip or keep rows with the photo of an earlier one",
        ),
        ("--id-column", "NAME", str, None, "know rows by this column, and add its values to file names"),
    )


def _photo_options() -> tuple[Option, ...]:
    def rule(name: str) -> Callable[[str], float]:
        interval = RANGES[name]
        return _number(int if interval.whole else float, interval.low, interval.high)

    return (
        ("--size", "N", rule("size"), None, "scale larger photos down to a short side of N pixels"),
        ("--crop", "C", _one_of(CROPS), ANY_PHOTO.crop, f"cut a square out of each photo: {', '.join(CROPS)}"),
        ("--min-side", "N", rule("min_side"), None, "refuse photos with a short side below N pixels"),
        ("--max-aspect", "R", rule("max_aspect"), None, "refuse photos with a long side over R times the short one"),
        ("--max-megapixels", "M", rule("max_megapixels"), None, "refuse photos of more than M megapixels"),
    )


def _picture_options() -> tuple[Option, ...]:
    share = _number(float, 0, 1)
    return (
        ("--prompt", "TEXT", str, PROMPT, "cut out what this text names"),
        ("--score-threshold", "S", share, SCORE_THRESHOLD, "require this score of a detection, 0-1"),
        ("--mask-threshold", "M", share, MASK_THRESHOLD, "require this mask value of the person's pixels, 0-1"),
        ("--variants", "K", _number(int, 1, MOST_LIGHTS), Plan().variants, "relight each photo with K lights"),
        ("--seed", "N", int, 0, "draw the lights from this seed"),
        ("--lighting", "FILE", _sentence(read_lighting), str(LIGHTING_FILE), "draw the lights as FILE describes"),
        ("--environments", "DIR", _sentence(read_environments), (), _LIT),
        ("--background", "B", _sentence(parse_backgrounds), PLAIN[0], _BEHIND),
        ("--gray", "N", _number(int, 0, 255), None, "set the background's gray instead of FILE's, 0-255"),
        ("--instructions", "FILE", _sentence(read_phrases), str(INSTRUCTIONS_FILE), "say the lights as FILE describes"),
    )


def _output_options() -> tuple[Option, ...]:
    plan = Plan()
    kept = ",".join(plan.pictures)
    return (
        ("--files", "NAMES", _sentence(parse_pictures), kept, f"write some of {', '.join(PICTURES)}; or all"),
        ("--format", "F", _sentence(parse_format), plan.format, "encode as png, jpeg[:Q], webp[:Q] or exr (linear)"),
        ("--depth", "BITS", _depth, None, "give each value of a png 8 (sRGB) or 16 (linear) bits (default: 8)"),
        ("--dataset", "D", _one_of(DATASETS), plan.dataset, f"write a dataset: {', '.join(DATASETS)} (no files)"),
        (
            "--split",
            "SHARES",
            _sentence(parse_splits),
            (),
            "split the photos by their content, as in train=0.9,val=0.1",
        ),
        ("--group-column", "NAME", str, None, "split by this column: rows with equal values stay together"),
        ("--layout", "L", _one_of(LAYOUTS), plan.layout, "put files into one folder, or (sharded) one per 1,000 rows"),
        ("--rows-per-tar", "N", _number(int, 1, 1e9), plan.rows_per_tar, "put N rows into each tar or Parquet file"),
        ("--summary", "FILE", Path, None, "write the run's numbers to this JSON file"),
        ("--work", "DIR", Path, None, "keep what is not in s3://, gs:// … yet in this folder (default: in ~/.cache)"),
    )


def _server_options() -> tuple[Option, ...]:
    return (
        ("--window", "N", _number(int, 1, 1e12), None, "limit the calls in flight (default: what fills the servers)"),
        ("--processes", "N", _number(int, 1, 256), 1, "run the client in N processes; with --ray, on each node"),
        ("--ray", "ADDRESS", str, None, _RAY),
        (
            "--server-options",
            "TEXT",
            _sentence(shlex.split),
            (),
            "start each node's server with these, --ray without --url",
        ),
        (
            "--timeout",
            "SECONDS",
            _number(float, 1, 1e9),
            TIMEOUT,
            "end a call or a download after this time, seconds",
        ),
        ("--wait-for-server", "SECONDS", _number(float, 0, 1e9), 0.0, "wait this long for a ready server, seconds"),
        ("--ca", "FILE", Path, None, "trust servers with a certificate from these CAs (default: the public ones)"),
        ("--cert", "FILE", Path, None, "send the client certificate in FILE"),
        ("--key", "FILE", Path, None, "read the private key of --cert from FILE"),
    )


def _depth(text: str) -> int:
    if text not in ("8", "16"):
        raise argparse.ArgumentTypeError(f"{text!r} must be 8 or 16")
    return int(text)


def _url(text: str) -> str:
    host, _, port = text.rpartition(":")
    if not host or "/" in text or not port.isdecimal() or int(port) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} must be HOST:PORT, without http://")
    return text


def _number(kind: type[int] | type[float], low: float, high: float) -> Callable[[str], float]:
    """Make a parser of numbers from `low` to `high`."""

    def parsed(text: str) -> float:
        with contextlib.suppress(ValueError):
            if low <= (number := kind(text)) <= high:
                return number
        noun = "a whole number" if kind is int else "a number"
        raise argparse.ArgumentTypeError(f"{text!r} must be {noun} from {low:g} to {high:g}")

    return parsed


def _one_of(choices: tuple[str, ...]) -> Callable[[str], str]:
    """Make a parser of one of `choices`."""

    def parsed(text: str) -> str:
        if text not in choices:
            raise argparse.ArgumentTypeError(f"there is no {text!r}; choose from {', '.join(choices)}")
        return text

    return parsed


def _sentence(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    """Make a parser whose ValueError argparse shows unchanged."""

    def parsed(text: str) -> Any:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return parsed
