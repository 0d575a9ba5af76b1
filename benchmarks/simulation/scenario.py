"""What is simulated: the GPUs, how long their networks take, and how much slower than in truth."""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass

from tritonclient.grpc import model_config_pb2

from benchmarks.simulation.timings import Timing, ideal_rate
from client.triton.connection import window_of

_HOST_SECONDS = 0.1  # of a core for a 1024² photo, the copies into the stand-ins included; what `simulate` prints
_HOST_LOAD = 0.5  # of this machine's cores: what is left over keeps the path's latency as short as a large host's


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


def fitting_slowdown(timings: Mapping[str, Timing], gpus: int, batch: int) -> int:
    """The least whole factor at which this machine's cores are half busy with 1024² photos; 1 where they suffice."""
    return max(1, math.ceil(ideal_rate(timings, gpus, batch) * _HOST_SECONDS / (_HOST_LOAD * cores())))


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0))
