"""The file of timings: how long a network keeps a GPU busy with a batch, and what GPUs could do at best."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

TIMINGS_FILE = Path(__file__).resolve().parent.parent / "timings.toml"
NETWORKS = ("segment", "albedo", "shadow", "recombine")


class TimingsError(ValueError):
    """The file of timings cannot be used; the message is a sentence with the file and the key."""


@dataclass(frozen=True)
class Timing:
    """The seconds that a network keeps its GPU busy: `fixed` for an execution and `per_image` for each of its rows."""

    fixed: float
    per_image: float

    def seconds(self, batch: int) -> float:
        """For one execution of `batch` images."""
        return self.fixed + self.per_image * batch


def read_timings(file: Path = TIMINGS_FILE) -> dict[str, Timing]:
    """The timing of each of NETWORKS, in seconds; the file has milliseconds.

    Raises TimingsError: there is no such file, it is not TOML, or a number is missing, negative or none.
    """
    try:
        content = tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        raise TimingsError(f"the file of timings {file} cannot be opened ({error.strerror})") from error
    except ValueError as error:  # no UTF-8, or no TOML
        raise TimingsError(f"the file of timings {file} is not valid TOML: {error}") from error

    def seconds(network: str, key: str) -> float:
        section = content.get(network)
        number = section.get(key) if isinstance(section, dict) else None
        if not isinstance(number, (int, float)) or isinstance(number, bool) or not 0.0 <= number < float("inf"):
            raise TimingsError(f"{file}: {network}.{key} must be milliseconds, a number from 0, not {number!r}")
        return number / 1000.0

    return {network: Timing(seconds(network, "fixed"), seconds(network, "per_image")) for network in NETWORKS}


def ideal_rate(timings: Mapping[str, Timing], gpus: int, batch: int) -> float:
    """Images per second of `gpus` GPUs, each of them always busy with full batches of one network or another."""
    return gpus * batch / sum(timing.seconds(batch) for timing in timings.values())
