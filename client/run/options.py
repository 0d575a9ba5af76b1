"""The command line's options: their names, what they mean, and sentences for what they cannot be."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from client.input.source import parse_shard
from client.light.distributions import LIGHTING_FILE, read_lighting
from client.output.plan import LAYOUTS, WRITERS, Plan, parse_files, parse_format
from client.triton.credentials import parse_header
from client.triton.request import MASK_THRESHOLD, PROMPT, SCORE_THRESHOLD, TIMEOUT, URL
from contract.names import PICTURES

Option = tuple[str, str, Callable[[str], Any], object, str]


def command_parser(description: str | None) -> argparse.ArgumentParser:
    """The parser of run_csv.py's command line."""
    parser = argparse.ArgumentParser(
        prog="run_csv.py",
        description=description,
        epilog="The same command again goes on where a run has ended, however it did. "
        "Exit codes: 0 every row done, 1 some rows failed, 2 bad usage, 3 no server, 130 interrupted.",
        formatter_class=_Formatter,
    )
    parser.add_argument("--csv", metavar="INPUT", required=True, help=_INPUT)
    parser.add_argument("--output", metavar="DIR", type=Path, required=True, help="folder for what comes out")
    for title, options, switches in (
        ("input", _input_options(), ()),
        ("what is made", _picture_options(), ()),
        ("what is written", _output_options(), ()),
        ("going on", _resume_options(), _RESUME_SWITCHES),
        ("servers", _server_options(), (("--tls", "encrypted connections"),)),
    ):
        group = parser.add_argument_group(title)
        for flag, metavar, kind, default, text in options:
            group.add_argument(flag, metavar=metavar, type=kind, default=default, help=text)
        for flag, text in switches:
            group.add_argument(flag, action="store_true", help=text)
        if title == "servers":
            group.add_argument("--url", metavar="HOST:PORT", type=_url, action="append", help=_URL)
            header = _sentence(parse_header)
            group.add_argument("--header", metavar="NAME:VALUE", type=header, action="append", default=[], help=_HEADER)
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    return parser


class _Formatter(argparse.HelpFormatter):
    """Shows a default where there is one."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.default in (None, False, argparse.SUPPRESS, []) or "%(default)s" in (action.help or ""):
            return action.help
        return f"{action.help} (default: %(default)s)"


_INPUT = (
    "CSV or Parquet file with a column image_path, gzipped or not, by path or URL; - for a CSV on stdin; "
    "a folder or a 'glob' of images"
)
_URL = f"a server's gRPC address; again for more servers (default: {URL})"
_HEADER = "sent with each call, such as an API key; again for more"
_RESUME_SWITCHES = (
    ("--retry-failed", "try rows again that failed because of their photo"),
    ("--restart", "make everything anew"),
    ("--continue-anyway", "keep what other settings made, and go on with these"),
    ("--rebuild-csv", "write the output CSV from the journal, and do nothing else"),
    ("--dry-run", "check header, photos and servers; send and write nothing"),
)


def _input_options() -> tuple[Option, ...]:
    return (
        ("--limit", "N", _number(int, 1, 1e12), None, "stop after so many rows"),
        ("--shard", "I/N", _sentence(parse_shard), None, "every N-th row from the I-th, for one of N machines"),
        ("--id-column", "NAME", str, None, "column that files are named after, besides the row's number"),
    )


def _picture_options() -> tuple[Option, ...]:
    share = _number(float, 0, 1)
    return (
        ("--prompt", "TEXT", str, PROMPT, "what to find in a photo"),
        ("--score-threshold", "S", share, SCORE_THRESHOLD, "least score of a find, 0-1"),
        ("--mask-threshold", "M", share, MASK_THRESHOLD, "least mask value inside, 0-1"),
        ("--variants", "K", _number(int, 1, 1e12), Plan().variants, "lights per photo"),
        ("--seed", "N", int, 0, "of the lights"),
        ("--lighting", "FILE", _sentence(read_lighting), str(LIGHTING_FILE), "distributions of the lights"),
        ("--gray", "N", _number(int, 0, 255), None, "of the background, 0-255, instead of FILE's"),
    )


def _output_options() -> tuple[Option, ...]:
    plan = Plan()
    kept = ",".join(plan.pictures)
    return (
        ("--files", "NAMES", _sentence(parse_files), kept, f"of {', '.join(PICTURES)}, input; or all"),
        ("--format", "F", _sentence(parse_format), plan.format, "png, jpeg[:quality] or webp[:quality]"),
        ("--writer", "W", _one_of(WRITERS), plan.writer, f"{' or '.join(WRITERS)} (writes no pictures)"),
        ("--layout", "L", _one_of(LAYOUTS), plan.layout, "of files: flat, or sharded into folders of 1,000 rows"),
        ("--rows-per-tar", "N", _number(int, 1, 1e9), plan.rows_per_tar, "of the writer webdataset"),
        ("--summary", "FILE", Path, None, "where to write the run's numbers as JSON"),
    )


def _resume_options() -> tuple[Option, ...]:
    return (("--max-failures", "N", _number(int, 0, 1e12), None, "end the run when more rows than that have failed"),)


def _server_options() -> tuple[Option, ...]:
    return (
        ("--window", "N", _number(int, 1, 1e12), None, "calls in flight (default: as many as fill the servers)"),
        ("--processes", "N", _number(int, 1, 256), 1, "where one core is not enough for the client"),
        ("--timeout", "SECONDS", _number(float, 1, 1e9), TIMEOUT, "for each call"),
        (
            "--wait-for-server",
            "SECONDS",
            _number(float, 0, 1e9),
            0.0,
            "until one must be ready, also in mid-run",
        ),
        ("--ca", "FILE", Path, None, "certificates that vouch for the server (default: the public ones)"),
        ("--cert", "FILE", Path, None, "the client's own certificate"),
        ("--key", "FILE", Path, None, "the private key of --cert"),
    )


def _url(text: str) -> str:
    host, _, port = text.rpartition(":")
    if not host or "/" in text or not port.isdecimal() or int(port) > 65535:
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


def _one_of(choices: tuple[str, ...]) -> Callable[[str], str]:
    """A parser of one of a few words."""

    def parsed(text: str) -> str:
        if text not in choices:
            raise argparse.ArgumentTypeError(f"there is no {text!r}; choose from {', '.join(choices)}")
        return text

    return parsed


def _sentence(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    """A parser whose ValueError argparse shows as it is."""

    def parsed(text: str) -> Any:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return parsed
