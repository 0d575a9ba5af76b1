"""Command lines: help that begins with what the command does and an example, and parsers of numbers and lists."""

import argparse
from collections.abc import Callable, Iterable
from typing import TypeVar

Value = TypeVar("Value")
LARGEST = 2**31 - 1  # what a config's max_batch_size can hold


class _Formatter(argparse.HelpFormatter):
    """Adds an option's default where it has one."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        shown = action.option_strings and action.default not in (None, False, (), argparse.SUPPRESS)
        return f"{action.help} (default: %(default)s)" if shown else action.help


class Parser(argparse.ArgumentParser):
    """The command line of one benchmark, with --json."""

    def __init__(self, name: str, does: str, example: str, epilog: str | None = None) -> None:
        """`does` and `example`, the options of one call, are the beginning of --help."""
        super().__init__(prog=f"python -m benchmarks {name}", epilog=epilog, formatter_class=_Formatter)
        self._beginning = f"{does}\n\nexample: {self.prog} {example}".rstrip()

    def format_help(self) -> str:
        """What --help prints."""
        return f"{self._beginning}\n\n{super().format_help()}"


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
