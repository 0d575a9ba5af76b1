"""The path on one GPU as events: what `run` does with a real server in minutes, computed in a second.

It follows photos through the client, `decode`, the dynamic batchers, a GPU that networks share by turns, and `encode`.
Here the path takes the time that it takes beside a real GPU: where `run` slows the GPUs down, it cannot slow the path.
"""

import heapq
import random
import statistics
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import count

from benchmarks import REPOSITORY
from benchmarks.simulate.timings import Timings
from client.triton.connection import window_of
from contract.names import NETWORKS
from server.derive import Machine, derive_all

JITTER = 0.3  # of each time that a core takes, either way; GPUs are even
SEED = 1
NEXT = {"decode": ("segment", "albedo"), "segment": ("shadow",), "recombine": ("encode",), "encode": ("client",)}
JOINED = ("shadow", "albedo")  # recombine waits for both


@dataclass(frozen=True)
class Setup:
    """How the path is configured; times are seconds."""

    batch: int  # the largest of every model
    window: int  # the client's calls in flight
    delays: Mapping[str, float]  # of each model but the ensemble, how long a request waits for others to batch with
    turns: frozenset[str]  # the networks of which one computes at a time (server/backends/common/turns.py)
    processes: int = 8  # of decode, and as many of encode: those of a machine of 16 cores


@dataclass(frozen=True)
class Outcome:
    """What came of it, filling and emptying left out of all but `whole`."""

    rate: float  # photos per second
    whole: float  # the same of the whole run
    busy: float  # share of the time in which the GPU computed, 0–1
    batches: Mapping[str, float]  # mean rows of each network's executions


@dataclass
class _Stage:
    """A model: who waits, how many instances are idle, and what it has executed."""

    instances: int
    queue: deque[tuple[float, int]] = field(default_factory=deque)  # since when, which photo
    executed: list[tuple[float, int]] = field(default_factory=list)  # when it began, rows


def read_setup(batch: int, window: int | None = None, turns: bool = True) -> Setup:
    """What the server derives for one GPU; without a `window` what the client makes of it. Raises ServerError."""
    configs = derive_all(REPOSITORY, Machine(gpus=1, max_batch=batch, turns=turns))
    members = {name: config for name, config in configs.items() if config.platform != "ensemble"}
    delays = {name: config.dynamic_batching.max_queue_delay_microseconds / 1e6 for name, config in members.items()}
    taking = {name for name, config in members.items() if "take_turns" in config.parameters}
    return Setup(batch, window or window_of(list(members.values())), delays, frozenset(taking))


def follow(timings: Timings, setup: Setup, photos: int) -> Outcome:
    """Follow so many photos from the first call to the last answer."""
    return _Path(timings, setup, photos).run()


class _Path:
    """The state of everything at one moment, and the events to come."""

    def __init__(self, timings: Timings, setup: Setup, photos: int) -> None:
        self.timings, self.setup, self.photos = timings, setup, photos
        self.random, self.number, self.now = random.Random(SEED), count(), 0.0
        self.events: list[tuple[float, int, Callable[[], None]]] = []
        self.stages = {name: _Stage(1 if name in NETWORKS else setup.processes) for name in setup.delays}
        self.waiting: deque[Callable[[], None]] = deque()  # executions, for the GPU's turn
        self.turn_taken = False
        self.computing: dict[int, list[float]] = {}  # seconds of the GPU that each execution still needs
        self.busy = 0.0
        self.ends: dict[int, Callable[[], None]] = {}  # what follows each execution
        self.joined: set[int] = set()
        self.client_free, self.sent = 0.0, 0
        self.answers: list[float] = []

    def run(self) -> Outcome:
        """Until nothing happens any more."""
        for _ in range(self.setup.window):
            self.send()
        while self.events:
            moment, _, happen = heapq.heappop(self.events)
            self.compute_until(moment)
            happen()
            self.start_what_can()
        skipped = min(2 * self.setup.window, self.photos // 4)  # photos, at either end
        begin, end = self.answers[skipped], self.answers[-skipped]
        batches = {
            name: statistics.fmean([rows for moment, rows in self.stages[name].executed if begin <= moment < end])
            for name in NETWORKS
        }
        rate = (self.photos - 2 * skipped) / (end - begin)
        return Outcome(rate, self.photos / self.answers[-1], self.busy / self.answers[-1], batches)

    def at(self, moment: float, happen: Callable[[], None]) -> None:
        """Let something happen at a moment."""
        heapq.heappush(self.events, (moment, next(self.number), happen))

    def send(self) -> None:
        """The client prepares one photo after another, and the wire and Triton take their time."""
        if self.sent == self.photos:
            return
        self.client_free = max(self.client_free, self.now) + self.core_seconds("client", 1)
        photo, arrives = self.sent, self.client_free + self.timings.away / 2
        self.sent += 1
        self.at(arrives, lambda: self.enqueue("decode", photo))

    def core_seconds(self, role: str, photos: int) -> float:
        """What one core takes for so many photos."""
        return sum(self.timings.path[role] * self.random.uniform(1 - JITTER, 1 + JITTER) for _ in range(photos))

    def enqueue(self, name: str, photo: int) -> None:
        """A photo's request reaches a model, or its answer the client."""
        if name == "client":
            self.answers.append(self.now)
            self.at(self.now + self.timings.away / 2, self.send)
            return
        self.stages[name].queue.append((self.now, photo))
        if not self.setup.delays[name]:
            self.start_what_can()  # the first of several takes an instance alone
        self.at(self.now + self.setup.delays[name], lambda: None)  # look again when it has waited long enough

    def start_what_can(self) -> None:
        """Every model with an idle instance and a batch that is full or has waited executes it."""
        for name, stage in self.stages.items():
            while self.can_start(stage, name):
                self.start(name)

    def can_start(self, stage: _Stage, name: str) -> bool:
        """Whether a model is to execute now."""
        if not stage.queue or not stage.instances:
            return False
        waited = self.now - stage.queue[0][0]
        return len(stage.queue) >= self.setup.batch or waited >= self.setup.delays[name] - 1e-9

    def start(self, name: str) -> None:
        """Execute a batch."""
        stage = self.stages[name]
        photos = [stage.queue.popleft()[1] for _ in range(min(self.setup.batch, len(stage.queue)))]
        stage.instances -= 1
        stage.executed.append((self.now, len(photos)))

        def end() -> None:
            self.end(name, photos)

        if name not in NETWORKS:
            self.at(self.now + self.core_seconds(name, len(photos)), end)
            return
        needed = self.timings.networks[name].seconds(len(photos))
        if name not in self.setup.turns:
            self.compute(needed, lambda: self.at(self.now + self.timings.gap, end))
            return

        def hand_on() -> None:
            self.turn_taken = False
            self.at(self.now + self.timings.gap, end)
            self.take_turn()

        self.waiting.append(lambda: self.compute(needed, hand_on))
        self.take_turn()

    def take_turn(self) -> None:
        """Let the execution compute that has waited longest for the GPU's turn."""
        if self.waiting and not self.turn_taken:
            self.turn_taken = True
            self.waiting.popleft()()

    def compute(self, seconds: float, end: Callable[[], None]) -> None:
        """Let an execution have the GPU for so long, others meanwhile."""
        number = next(self.number)
        self.computing[number], self.ends[number] = [seconds], end
        self.plan()

    def end(self, name: str, photos: list[int]) -> None:
        """Give an instance back and hand its photos on."""
        self.stages[name].instances += 1
        for photo in photos:
            for following in NEXT.get(name, ()):
                self.enqueue(following, photo)
            if name in JOINED and photo in self.joined:
                self.enqueue("recombine", photo)
            elif name in JOINED:
                self.joined.add(photo)

    def compute_until(self, moment: float) -> None:
        """Give each execution its part of the GPU until then; those that have all they need end."""
        passed, self.now = moment - self.now, moment
        self.busy += passed if self.computing else 0.0
        for left in self.computing.values():
            left[0] -= passed * self.timings.speed(len(self.computing))
        done = [number for number, left in self.computing.items() if left[0] <= 1e-9]
        for number in done:
            del self.computing[number]
            self.ends.pop(number)()
        if done:
            self.plan()

    def plan(self) -> None:
        """Look again when the next execution ends, as far as is known now."""
        if self.computing:
            least = min(left[0] for left in self.computing.values())
            self.at(self.now + least / self.timings.speed(len(self.computing)), lambda: None)
