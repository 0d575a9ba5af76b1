"""What is simulated: the GPUs, how long their networks take (a file of timings), and how much slower than in truth."""

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tritonclient.grpc import model_config_pb2

from benchmarks.rig.places import CORES
from benchmarks.rig.report import BenchmarkError
from client.triton.connection import window_of
from contract.names import NETWORKS

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

TIMINGS_FILE = Path(__file__).resolve().parent.parent / "timings.toml"
_HOST_SECONDS = 0.1  # of a core for a 1024² photo, the copies into the stand-ins included; what `simulate` prints
_HOST_LOAD = 0.5  # of this machine's cores: what is left over keeps the path's latency as short as a large host's


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

    Raises BenchmarkError: there is no such file, it is not TOML, or a number is missing, negative or none.
    """
    try:
        content = tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        raise BenchmarkError(f"the file of timings {file} cannot be opened ({error.strerror})") from error
    except ValueError as error:  # no UTF-8, or no TOML
        raise BenchmarkError(f"the file of timings {file} is not valid TOML: {error}") from error

    def seconds(network: str, key: str) -> float:
        section = content.get(network)
        number = section.get(key) if isinstance(section, dict) else None
        if not isinstance(number, (int, float)) or isinstance(number, bool) or not 0.0 <= number < float("inf"):
            raise BenchmarkError(f"{file}: {network}.{key} must be milliseconds, a number from 0, not {number!r}")
        return number / 1000.0

    return {network: Timing(seconds(network, "fixed"), seconds(network, "per_image")) for network in NETWORKS}


def ideal_rate(timings: Mapping[str, Timing], gpus: int, batch: int) -> float:
    """Images per second of `gpus` GPUs, each of them always busy with full batches of one network or another."""
    return gpus * batch / sum(timing.seconds(batch) for timing in timings.values())


def fitting_slowdown(timings: Mapping[str, Timing], gpus: int, batch: int) -> int:
    """The least whole factor at which this machine's cores are half busy with 1024² photos; 1 where they suffice."""
    return max(1, math.ceil(ideal_rate(timings, gpus, batch) * _HOST_SECONDS / (_HOST_LOAD * CORES)))


@dataclass(frozen=True)
class Scenario:
    """GPUs, timings and photos of one simulation."""

    gpus: int
    batch: int  # the largest of every model
    timings: Mapping[str, Timing]  # of each network, in truth
    slowdown: float  # everything that the path's configuration says in seconds takes so many times as long
    side: int = 1024  # pixels of a photo, which is square
    window: int | None = None  # the client's; None: as it finds fit
    measure: int = 2  # windows of photos; one more fills the path before, and one empties it after them

    @property
    def ideal(self) -> float:
        """Images per second of GPUs that are always busy with full batches, slowed down."""
        return ideal_rate(self.timings, self.gpus, self.batch) / self.slowdown

    @property
    def photos(self) -> int:
        """The rows of the run."""
        return (self.measure + 2) * self.in_flight

    @property
    def in_flight(self) -> int:
        """The calls that the client has in flight while there are rows."""
        if self.window:
            return self.window
        networks = [model_config_pb2.ModelConfig(name=name, max_batch_size=self.batch) for name in self.timings]
        for network in networks:
            network.instance_group.add(count=self.gpus)
        return window_of(networks)
