"""What was measured: the chip, the networks, their points and the service; and the JSON file that holds it."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmarks.rig.report import BenchmarkError, write_json


@dataclass(frozen=True)
class Chip:
    """The accelerator and its own ceilings, each measured."""

    name: str  # with its memory, and the versions of PyTorch and CUDA
    fp16: float  # TFLOP/s of a large matrix product
    bf16: float  # the same
    copy: float  # GB/s of a copy from device memory to device memory, read and written bytes counted
    memory_mb: float  # what it has

    @property
    def peak(self) -> float:
        """The TFLOP/s that shares are shares of."""
        return max(self.fp16, self.bf16)


@dataclass(frozen=True)
class NetworkFacts:
    """A network's size: parameters, and floating-point operations of one photo (a multiplication and a sum are two)."""

    parameters: int
    flops: int


@dataclass(frozen=True)
class Point:
    """One network in one variant at one batch size: its numbers, or the finding that stands in their place."""

    network: str
    variant: str
    batch: int
    ms_per_image: float | None = None  # median of the batch's time ÷ batch
    memory_mb: float | None = None  # in use on the device after the batches; on a CPU the process's peak
    parity: Mapping[str, float] = field(default_factory=dict)  # worst against float32, by "OUTPUT measure of the gate"
    faithful: bool | None = None  # whether the gate would keep it; None where nothing could be compared
    finding: str = ""
    served: bool = False  # whether it is of a file that the server takes
    unavailable: bool = False  # the finding is that the machine lacks what the variant needs


@dataclass(frozen=True)
class Service:
    """One run of the ensemble on one GPU under the client."""

    trial: str  # how the server was started
    window: int | None  # calls in flight; None for the client's choice
    photos: int  # of the run; starting up is left out
    seconds: float  # of the run; starting up is left out
    forms: Mapping[str, str]  # the variant of each network that was served
    largest: Mapping[str, int]  # photos per execution at most, by network
    mean_batch: Mapping[str, float]  # photos per execution, by network
    alone_ms: Mapping[str, float]  # ms per image of each network alone in the same variant, by network
    memory_mb: float | None  # of the GPU while it ran; None on a CPU
    utilisation: float | None  # of the GPU while it ran, 0–1; None on a CPU

    @property
    def images_per_second(self) -> float:
        """Photos a second, from the first sent to the last written."""
        return self.photos / self.seconds

    @property
    def together(self) -> float:
        """Photos a second of its networks one after another."""
        return 1e3 / sum(self.alone_ms.values())


@dataclass(frozen=True)
class Results:
    """All that was measured on a machine, by one command or several."""

    machine: str
    dry_run: bool
    commands: tuple[str, ...] = ()
    chip: Chip | None = None
    networks: Mapping[str, NetworkFacts] = field(default_factory=dict)
    points: tuple[Point, ...] = ()
    largest: Mapping[str, int] = field(default_factory=dict)  # the largest batch that is safe beside the others
    services: tuple[Service, ...] = ()

    def with_chip(self, chip: Chip) -> Results:
        """These results and the chip's ceilings. Raises BenchmarkError: they are of another chip."""
        if self.chip is not None and self.chip.name != chip.name:
            raise BenchmarkError(
                f"The results so far are of {self.chip.name}, this is {chip.name}: name another file with --json."
            )
        return replace(self, chip=chip)

    def share(self, point: Point) -> float | None:
        """The share of the chip's peak that a point reaches, 0–1."""
        facts = self.networks.get(point.network)
        if point.ms_per_image is None or facts is None or self.chip is None:
            return None
        return facts.flops / (point.ms_per_image / 1e3) / (self.chip.peak * 1e12)

    def at(self, network: str, variant: str) -> dict[int, Point]:
        """The points of a network in a variant, by batch size."""
        return {one.batch: one for one in self.points if (one.network, one.variant) == (network, variant)}

    def ms(self, network: str, variant: str, batch: int) -> float | None:
        """Milliseconds per image at a point; None where it was not measured."""
        point = self.at(network, variant).get(batch)
        return point.ms_per_image if point else None

    def to_serve(self, network: str, among: Collection[str] = ()) -> str:
        """The fastest variant of a network that the gate keeps and the server takes, "" where there is none.

        Of the variants `among`, if it names any.
        """
        points = [one for one in self.points if one.network == network and one.ms_per_image and one.faithful]
        known = [one for one in points if one.served and one.variant in (among or (one.variant,))]
        return min(known, key=lambda one: one.ms_per_image or 0.0).variant if known else ""

    @property
    def best(self) -> Service | None:
        """The fastest run of the service."""
        return max(self.services, key=lambda one: one.images_per_second, default=None)

    def with_points(self, points: list[Point]) -> Results:
        """These results and further points; in a dry run alone a finding takes a number's place."""
        known = {(one.network, one.variant, one.batch): one for one in self.points}
        for one in points:
            key = (one.network, one.variant, one.batch)
            if self.dry_run or one.ms_per_image is not None or key not in known or known[key].ms_per_image is None:
                known[key] = one
        return replace(self, points=tuple(known.values()))

    def save(self, file: Path) -> None:
        """Write the JSON, each point with its share of the peak."""
        content = asdict(self)
        for point, values in zip(self.points, content["points"], strict=True):
            values["share_of_peak"] = self.share(point)
        write_json(file, content)


def continue_results(file: Path, machine: str, dry_run: bool) -> Results:
    """Read what `save` wrote to add to it, or start with none where there is no file.

    Raises BenchmarkError: it was measured on another machine, or in a dry run and this is none.
    """

    def described(results: Results) -> str:
        return f"{'a dry run' if results.dry_run else 'measurements'} on {results.machine}"

    new = Results(machine, dry_run)
    found = read_results(file) if file.exists() else new
    if described(found) != described(new):
        raise BenchmarkError(f"{file} has {described(found)}, this is {described(new)}: name another file with --json.")
    return found


def read_results(file: Path) -> Results:
    """Read what `save` wrote. Raises BenchmarkError."""
    if not file.exists():
        raise BenchmarkError(f"There are no results at {file}: measure first, or name them with --json.")
    content: dict[str, Any] = json.loads(file.read_text("utf-8"))
    points = [{key: value for key, value in one.items() if key != "share_of_peak"} for one in content["points"]]
    return Results(
        content["machine"],
        content["dry_run"],
        tuple(content["commands"]),
        Chip(**content["chip"]) if content["chip"] else None,
        {name: NetworkFacts(**facts) for name, facts in content["networks"].items()},
        tuple(Point(**point) for point in points),
        content["largest"],
        tuple(Service(**service) for service in content["services"]),
    )
