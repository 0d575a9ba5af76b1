"""How long each network keeps a GPU busy, alone and beside others: read from a file, and what would be ideal."""

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks import CORES
from benchmarks.rig.report import BenchmarkError, read_toml
from contract.names import NETWORKS

TIMINGS = Path(__file__).resolve().parent.parent / "timings"
MEASURED = TIMINGS / "h100_torchscript.toml"  # the default: what was measured, and not what is hoped for
PATH = ("client", "decode", "encode")
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


@dataclass(frozen=True)
class Timings:
    """A GPU's networks."""

    networks: Mapping[str, Timing]
    path: Mapping[str, float]  # seconds of one core for a photo, of PATH
    sharing: float = 1.0  # speed of the GPU while several networks take turns ÷ its speed for one alone, above 0 to 1
    gap: float = 0.0  # seconds that a network's process needs for tensors and answers after each execution
    away: float = 0.0  # seconds that a photo spends where nothing here says why: on the wire, in Triton, being copied

    def speed(self, running: int) -> float:
        """Seconds of the GPU that each of so many executions gets in a second."""
        return 1.0 if running == 1 else self.sharing / running

    def ideal_rate(self, gpus: int, batch: int) -> float:
        """Images per second of `gpus` GPUs, each of them always busy with full batches of one network or another."""
        return gpus * batch / sum(timing.seconds(batch) for timing in self.networks.values())

    def fitting_slowdown(self, gpus: int, batch: int) -> int:
        """The least whole factor that leaves this machine's cores half idle with 1024² photos; 1 where they suffice."""
        return max(1, math.ceil(self.ideal_rate(gpus, batch) * _HOST_SECONDS / (_HOST_LOAD * CORES)))


def read_timings(file: Path = MEASURED) -> Timings:
    """The timing of each of NETWORKS, in seconds; the file has milliseconds.

    Raises BenchmarkError: there is no such file, it is not TOML, or a number is missing or out of its range.
    """
    content = read_toml(file)

    def number(section: str, key: str, what: str, lowest: float, highest: float) -> float:
        entries = content.get(section)
        value = entries.get(key) if isinstance(entries, dict) else None
        if not isinstance(value, (int, float)) or isinstance(value, bool) or not lowest <= value <= highest:
            raise BenchmarkError(f"{file}: {section}.{key} must be {what}, not {value!r}")
        return float(value)

    def seconds(network: str, key: str) -> float:
        return number(network, key, "milliseconds, a number from 0", 0.0, sys.float_info.max) / 1000.0

    networks = {network: Timing(seconds(network, "fixed"), seconds(network, "per_image")) for network in NETWORKS}
    path = {role: seconds("path", role) for role in PATH}
    sharing = number("gpu", "sharing", "a share from 0.1 to 1", 0.1, 1.0)
    return Timings(networks, path, sharing, seconds("gpu", "gap"), seconds("path", "away"))
