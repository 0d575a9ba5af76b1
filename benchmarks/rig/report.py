"""Command lines whose help begins with an example, and what every benchmark prints: figures beside their ideals."""

import argparse
import json
import platform
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from benchmarks import CORES
from client.output.files import check_writable

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Value = TypeVar("Value")
LARGEST = 2**31 - 1  # what a config's max_batch_size can hold


class _Formatter(argparse.HelpFormatter):
    """Adds an option's default where it has one."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        shown = action.option_strings and action.default not in (None, False, (), argparse.SUPPRESS)
        return f"{action.help} (default: %(default)s)" if shown else action.help


class Parser(argparse.ArgumentParser):
    """The command line of one benchmark, with --json."""

    def __init__(
        self, name: str, does: str, example: str, epilog: str | None = None, json: str = "write the figures there too"
    ) -> None:
        """`does` and `example`, the options of one call, are the beginning of --help; `json` is what --json does."""
        super().__init__(prog=f"python -m benchmarks {name}", epilog=epilog, formatter_class=_Formatter)
        self.add_argument("--json", type=file_to_write, metavar="FILE", help=json)
        self._beginning = f"{does.strip()}\n\nexample: {self.prog} {example}"

    def format_help(self) -> str:
        """What --help prints."""
        return f"{self._beginning}\n\n{super().format_help()}"


def file_to_write(text: str) -> Path:
    """A parser of a file that is written last: that it cannot be is found out first."""
    try:
        check_writable(Path(text))
    except OSError as error:
        raise argparse.ArgumentTypeError(f"{text} cannot be written ({error.strerror})") from error
    return Path(text)


def number(kind: Callable[[str], Value], above: int = 0) -> Callable[[str], Value]:
    """A parser of numbers above a limit: `kind` is int or float."""

    def parse(text: str) -> Value:
        try:
            if above < float(text) <= LARGEST:
                return kind(text)
        except ValueError:
            pass
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above {above} and up to {LARGEST}")

    return parse


def several(one: Callable[[str], Value]) -> Callable[[str], tuple[Value, ...]]:
    """A parser of values separated by commas; each once, in the order given."""

    def parse(text: str) -> tuple[Value, ...]:
        found = tuple(dict.fromkeys(one(word.strip()) for word in text.split(",") if word.strip()))
        if not found:
            raise argparse.ArgumentTypeError("the list is empty")
        return found

    return parse


def names(known: Iterable[str]) -> Callable[[str], tuple[str, ...]]:
    """A parser of some of the `known` names, separated by commas."""
    choices = tuple(known)

    def one(name: str) -> str:
        if name not in choices:
            raise argparse.ArgumentTypeError(f"there is no {name}; choose from {', '.join(choices)}")
        return name

    return several(one)


class BenchmarkError(Exception):
    """Nothing can be measured; the message says why and what to do."""


@dataclass(frozen=True)
class Figure:
    """One measured number; `ideal` is what it would be at best, in the same unit."""

    name: str
    value: float
    unit: str
    ideal: str


def machine() -> str:
    """Processor, usable cores and system, in a line."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [
            line.split(":", 1)[1].strip() for line in cpuinfo.read_text("utf-8").splitlines() if "model name" in line
        ]
        model = names[0] if names else model
    return f"{model}, {CORES} cores, Python {platform.python_version()}"


def show(title: str, figures: Sequence[Figure], file: Path | None) -> None:
    """Print the figures as a table and, if asked, write them to `file`."""
    print(f"{title}\n{machine()}\n")
    width = max(len(figure.name) for figure in figures)
    for figure in figures:
        print(f"{figure.name:<{width}}  {figure.value:>9.2f} {figure.unit:<10} ideal {figure.ideal}")
    if file is not None:
        write_json(file, {"title": title, "machine": machine(), "figures": [asdict(figure) for figure in figures]})


def read_toml(file: Path) -> dict[str, Any]:
    """What a TOML file holds. Raises BenchmarkError: there is no such file, or it is not TOML."""
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        raise BenchmarkError(f"the file {file} cannot be opened ({error.strerror})") from error
    except ValueError as error:  # no UTF-8, or no TOML
        raise BenchmarkError(f"the file {file} is not valid TOML: {error}") from error


def write_json(file: Path, content: Any) -> None:
    """Write a file at once: one that is interrupted leaves the file that was there."""
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f"{file.name}.partial")
    partial.write_text(json.dumps(content, indent=2) + "\n", "utf-8")
    partial.replace(file)


def markdown(headings: Sequence[str], rows: Iterable[Sequence[str]], numbers: Iterable[int] = ()) -> str:
    """A Markdown table, the columns `numbers` aligned to the right; a | inside a cell is written as /."""
    right = set(numbers)
    rule = ["---:" if column in right else "---" for column in range(len(headings))]
    lines = (headings, rule, *rows)
    return "\n".join("| " + " | ".join(cell.replace("|", "/") for cell in line) + " |" for line in lines)
