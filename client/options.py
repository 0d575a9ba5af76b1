"""The command line's options: their names, what they mean, and sentences for what they cannot be."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from client.request import MASK_THRESHOLD, PROMPT, SCORE_THRESHOLD, TIMEOUT, URL
from client.settings import LIGHTING_FILE, read_lighting
from client.writer import PICTURES, Plan, parse_format, parse_pictures


def command_parser(description: str | None) -> argparse.ArgumentParser:
    """The parser of run_csv.py's command line."""
    parser = argparse.ArgumentParser(
        prog="run_csv.py",
        description=description,
        epilog="exit codes: 0 every row done, 1 some rows failed, 2 bad usage, 3 no server, 130 interrupted",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    share, seconds = _number(float, 0, 1), _number(float, 0, 1e9)
    count, gray = _number(int, 1, 1e12), _number(int, 0, 255)
    pictures, image_format = _sentence(parse_pictures), _sentence(parse_format)
    lighting, plan = _sentence(read_lighting), Plan()
    kept = ",".join(plan.pictures)
    for flag, metavar, text in (
        ("--csv", "FILE", "table with a column image_path"),
        ("--output", "DIR", "folder for what comes out"),
    ):
        parser.add_argument(flag, metavar=metavar, type=Path, required=True, default=argparse.SUPPRESS, help=text)
    options: tuple[tuple[str, str, Callable[[str], Any], object, str], ...] = (
        ("--url", "HOST:PORT", _url, URL, "the server's gRPC address"),
        ("--prompt", "TEXT", str, PROMPT, "what to find in a photo"),
        ("--score-threshold", "S", share, SCORE_THRESHOLD, "least score of a find, 0-1"),
        ("--mask-threshold", "M", share, MASK_THRESHOLD, "least mask value inside, 0-1"),
        ("--variants", "K", count, plan.variants, "lights per photo"),
        ("--files", "NAMES", pictures, kept, f"of {', '.join(PICTURES)}"),
        ("--format", "F", image_format, plan.format, "png, jpeg[:quality] or webp[:quality]"),
        ("--seed", "N", int, 0, "of the lights"),
        ("--lighting", "FILE", lighting, str(LIGHTING_FILE), "distributions of the lights"),
        ("--gray", "N", gray, None, "of the background, 0-255; None: as FILE has it"),
        ("--limit", "N", count, None, "stop after so many rows"),
        ("--window", "N", count, None, "calls in flight; None: as many as fill the server"),
        ("--timeout", "SECONDS", _number(float, 1, 1e9), TIMEOUT, "for each call"),
        ("--wait-for-server", "SECONDS", seconds, 0.0, "until it must be ready"),
    )
    for flag, metavar, kind, default, text in options:
        parser.add_argument(flag, metavar=metavar, type=kind, default=default, help=text)
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    return parser


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


def _sentence(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    """A parser whose ValueError argparse shows as it is."""

    def parsed(text: str) -> Any:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return parsed
