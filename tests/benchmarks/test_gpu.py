"""The benchmark of one GPU, rehearsed on the CPU: networks, then the service of their files, and what may fail."""

import json
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.gpu.command import not_rehearsed
from benchmarks.gpu.measure import NO_TIME, Setting, count_flops, verdict
from benchmarks.gpu.memory import largest_batches
from benchmarks.gpu.page import BEGIN, END, PREDICTIONS, write_page
from benchmarks.gpu.plan import ORDER, RECIPES, SCRIPT, SEED, SERVED, VARIANTS, built, contract_of, plan_of
from benchmarks.gpu.results import Chip, NetworkFacts, Point, Results, Service, continue_results, read_results
from benchmarks.gpu.service import Load, measure_service
from benchmarks.gpu.session import ask_variant
from benchmarks.rig.report import BenchmarkError
from export.check.gate import Measurement
from export.tensors import example_inputs
from tests.rig.places import ROOT

PHOTOS = 3


@dataclass(frozen=True)
class Rehearsal:
    """What a dry run left."""

    results: Results
    page: str
    said: str
    faults: list[str]
    profile: str

    def point(self, variant: str, batch: int) -> Point:
        return self.results.at("sam3", variant)[batch]

    @property
    def service(self) -> Service:
        return self.results.best or pytest.fail("the service was not measured")


@pytest.fixture(scope="module")
def rehearsal(tmp_path_factory: pytest.TempPathFactory) -> Rehearsal:
    """A dry run of the served networks, one of them in a few variants more, and of the service."""
    folder = tmp_path_factory.mktemp("gpu")
    file, page = folder / "results.json", folder / "page.md"
    arguments = ["--dry-run", "--json", str(file), "--page", str(page), "--photos", str(PHOTOS), "--profile"]
    command = [sys.executable, "-m", "tests.benchmarks.gpu_rehearsal", *arguments, "--trials", "rate limiter"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    profile = (folder / "dry-run" / "profiles" / "sam3-TorchScript-fp16.txt").read_text()
    return Rehearsal(read_results(file), page.read_text(), done.stdout, done.stderr.splitlines(), profile)


def test_the_chip_is_measured_before_all_else(rehearsal: Rehearsal) -> None:
    chip = rehearsal.results.chip
    assert chip is not None
    assert min(chip.fp16, chip.bf16, chip.copy, chip.memory_mb) > 0
    assert rehearsal.said.startswith(chip.name)


@pytest.mark.parametrize("variant", [SCRIPT, SEED])
@pytest.mark.parametrize("batch", [2, 1])
def test_a_variant_is_timed_and_held_to_float32(rehearsal: Rehearsal, variant: str, batch: int) -> None:
    point = rehearsal.point(variant, batch)
    assert point.finding == ""
    assert point.ms_per_image is not None
    assert point.ms_per_image > 0
    assert point.faithful
    assert point.parity["ALPHA mask IoU"] >= 0.98
    facts = rehearsal.results.networks["sam3"]
    peak = (rehearsal.results.chip or pytest.fail("no chip")).peak * 1e12
    assert rehearsal.results.share(point) == pytest.approx(facts.flops / (point.ms_per_image / 1e3) / peak)


def test_a_variant_that_fails_is_a_finding_and_costs_nothing_else(rehearsal: Rehearsal) -> None:
    assert rehearsal.point("hungry", 2).finding == "out of memory"
    assert rehearsal.point("hungry", 1).ms_per_image
    assert "signal SIGSEGV" in rehearsal.point("crashing", 2).finding
    assert rehearsal.point("endless", 2).finding.startswith("stopped after")
    lacking = Point("sam3", "lacking", 1, finding="needs another machine", unavailable=True)
    assert rehearsal.point("lacking", 1) == lacking
    assert "Cannot be rehearsed on this machine: sam3, lacking: needs another machine" in rehearsal.said.splitlines()


def test_a_dry_run_names_the_pairs_that_failed_and_those_alone(rehearsal: Rehearsal) -> None:
    failed = [line for line in rehearsal.faults if line.startswith("Failed: ")]
    assert failed[0] == "Failed: sam3, hungry: batch 2 out of memory"
    assert [line.split(":")[1] for line in failed] == [" sam3, hungry", " sam3, crashing", " sam3, endless"]
    assert "5 of 8 pairs of a network and a variant passed or need another machine." in rehearsal.said


def test_the_kernels_of_a_variant_are_listed_on_request(rehearsal: Rehearsal) -> None:
    title, _, header, first, *_ = rehearsal.profile.splitlines()
    assert title.startswith("sam3, TorchScript fp16, batch 2: ")
    assert header.split() == ["operator", "ms", "an", "image", "share", "calls"]
    assert float(first.split()[-2].rstrip("%")) > 0


def test_the_measured_files_are_served_at_the_largest_batches_that_fit(rehearsal: Rehearsal) -> None:
    service = rehearsal.service
    assert (service.trial, service.photos) == ("rate limiter", PHOTOS)
    assert service.forms == dict.fromkeys(SERVED.values(), SCRIPT)
    assert service.largest == rehearsal.results.largest == dict.fromkeys(SERVED.values(), 2)
    assert service.alone_ms == {name: rehearsal.results.ms(name, SCRIPT, 2) for name in SERVED.values()}
    assert all(1 <= photos <= 2 for photos in service.mean_batch.values())
    assert (service.memory_mb, service.utilisation) == (None, None)
    assert "GPU utilisation" not in rehearsal.page


def test_the_command_ends_with_the_replaced_pipelines_table_and_the_throughput(rehearsal: Rehearsal) -> None:
    speed = rehearsal.service.images_per_second
    assert f"The whole service (rate limiter): **{speed:.2f} photos/s**" in rehearsal.said.splitlines()[-1]
    assert rehearsal.said.splitlines()[-1] in rehearsal.page
    assert "| 1 | 1.5 | - | " in rehearsal.said


def test_without_files_the_service_does_not_begin(tmp_path: Path) -> None:
    setting = Setting(True, (2, 1), tmp_path, tmp_path)
    with pytest.raises(BenchmarkError, match="sam3 has no file that the gate keeps: measure the networks first"):
        measure_service(setting, Load(1, ["plain"], [0]), 0.0, Results("a machine", True), lambda results: None)


def test_the_largest_batches_leave_a_reserve_and_the_largest_network_gives_way() -> None:
    memory = {"large": {8: 30.0, 16: 50.0, 32: 90.0}, "small": {16: 10.0, 32: 20.0}}
    assert largest_batches(memory, 200.0) == {"large": 32, "small": 32}
    assert largest_batches(memory, 90.0) == {"large": 16, "small": 32}
    assert largest_batches(memory, 50.0) == {"large": 8, "small": 16}
    assert largest_batches(memory, 40.0) == {}


def test_a_batch_size_is_refused_with_any_smaller_one() -> None:
    found = [Measurement("ALPHA", batch, "mask IoU", value, 0.98) for batch, value in ((1, 0.99), (2, 0.99), (3, 0.9))]
    assert [verdict(found, batch) for batch in (1, 2, 3, 8)] == [True, True, False, False]
    assert verdict(found[:2], 8) is None


def test_answers_that_the_gate_refuses_fail_a_dry_run_and_so_does_what_was_not_compared() -> None:
    plan = plan_of(["sam3"], [SCRIPT])
    right, wrong, unknown = (Point("sam3", SCRIPT, 2, 1.0, 1.0, faithful=faithful) for faithful in (True, False, None))

    def faults(*points: Point) -> list[str]:
        return not_rehearsed(plan, [2], Results("a machine", dry_run=True, points=points))

    assert faults(right) == []
    assert faults(wrong) == [f"sam3, {SCRIPT}: batch 2 is refused by the gate"]
    assert faults(unknown) == [f"sam3, {SCRIPT}: batch 2 was not compared"]
    assert faults() == [f"sam3, {SCRIPT}: batch 2 was not begun"]


def test_the_page_has_every_point_and_prediction_and_the_claims(rehearsal: Rehearsal) -> None:
    before, _, rest = rehearsal.page.partition(BEGIN)
    filled, _, after = rest.partition(END)
    assert (before, after) == around((ROOT / "benchmarks" / "GPU.md").read_text())
    assert "A dry run: tiny networks on a CPU." in filled
    for point in rehearsal.results.points:
        outcome = f"{point.ms_per_image:.3f}" if point.ms_per_image else point.finding
        assert f"| {point.variant} | {point.batch} | {outcome} |" in filled
    assert all(one.why in filled for one in PREDICTIONS)
    assert "| 8 | 0.5 | 15–20 GB | not measured | not measured | not measured | - |" in filled


def around(page: str) -> tuple[str, str]:
    """What a page has by hand before and after its results."""
    return page.partition(BEGIN)[0], page.partition(END)[2]


def test_a_filled_page_can_be_filled_again(rehearsal: Rehearsal, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(rehearsal.page)
    write_page(page, rehearsal.results)
    assert page.read_text() == rehearsal.page


def test_a_page_without_a_place_for_results_is_refused(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Mine\n")
    with pytest.raises(BenchmarkError, match=r"page\.md has no place for results: it needs the lines"):
        write_page(page, Results("a machine", dry_run=True))


def test_what_no_longer_fits_the_time_is_listed(tmp_path: Path) -> None:
    setting = Setting(True, (2, 1), tmp_path, tmp_path)
    points = ask_variant(setting, "sam3", VARIANTS[SCRIPT], deadline=time.monotonic() + 1.0)
    assert points == [Point("sam3", SCRIPT, batch, finding=NO_TIME) for batch in (2, 1)]


def test_results_outlive_the_command_and_grow(tmp_path: Path) -> None:
    file = tmp_path / "out" / "results.json"
    first = Point("sam3", SCRIPT, 8, 20.0, 9000.0, {"ALPHA mask IoU": 0.99}, True)
    alone = {"sam3": 20.0}
    service = Service("plain", None, 512, 20.0, {"sam3": SCRIPT}, {"sam3": 16}, {"sam3": 15.5}, alone, 30_000.0, 0.9)
    results = Results(
        "a machine",
        dry_run=False,
        commands=("python -m benchmarks gpu",),
        chip=Chip("a GPU", 700.0, 710.0, 3000.0, 80_000.0),
        networks={"sam3": NetworkFacts(840_000_000, 6_000_000_000_000)},
        points=(first,),
        largest={"sam3": 16},
        services=(service,),
    )
    results.save(file)
    assert continue_results(file, "a machine", dry_run=False) == results
    assert json.loads(file.read_text())["points"][0]["share_of_peak"] == pytest.approx(6 / 0.02 / 710)
    lost, found = replace(first, ms_per_image=None, finding=NO_TIME), replace(first, batch=16)
    assert results.with_points([lost, found]).points == (first, found)
    assert replace(results, dry_run=True).with_points([lost]).points == (lost,)
    with pytest.raises(BenchmarkError, match="has measurements on a machine, this is measurements on another"):
        continue_results(file, "another", dry_run=False)
    assert results.with_chip(Chip("a GPU", 701.0, 711.0, 3001.0, 80_000.0)).chip == Chip(
        "a GPU", 701.0, 711.0, 3001.0, 80_000.0
    )
    with pytest.raises(BenchmarkError, match="results so far are of a GPU, this is its successor: name another"):
        results.with_chip(Chip("its successor", 701.0, 711.0, 3001.0, 80_000.0))


def test_every_planned_variant_is_known_and_planned_once() -> None:
    planned = [(network, name) for network, names in ORDER for name in names]
    assert len(planned) == len(set(planned))
    assert {name for _, name in planned} == VARIANTS.keys()
    assert {(one.network, one.variant) for one in PREDICTIONS} <= set(planned)


def test_operations_are_counted_with_those_of_attention() -> None:
    class Attend(nn.Module):
        def forward(self, rows: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.scaled_dot_product_attention(rows, rows, rows)

    assert count_flops(nn.Linear(8, 4), (torch.rand(3, 8),)) == 2 * 3 * 8 * 4
    assert count_flops(Attend(), (torch.rand(1, 1, 16, 8),)) == 2 * (2 * 16 * 16 * 8)


class Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch does not annotate it
    """Notes the operations that run, and those that make a tensor of the host's."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch does not annotate it
        self.seen: set[str] = set()
        self.on_the_host: set[str] = set()

    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = operation(*args, **(kwargs or {}))
        name = operation.overloadpacket.__name__
        self.seen.add(name)
        if isinstance(made, torch.Tensor) and made.device.type == "cpu":
            self.on_the_host.add(name)
        return made


@pytest.mark.parametrize("name", RECIPES)
def test_no_network_makes_the_gpu_wait_for_the_host(name: str) -> None:
    """Its forward takes no tensor from the host and asks for no value, so that a CUDA graph can hold it.

    The meta device stands for a GPU: what is made elsewhere shows. Fake tensors stand for a recording: transformers
    then reads no value to choose a shortcut.
    """
    network, imagined = built(name, True, torch.device("cpu")), FakeTensorMode()

    def there(value: torch.Tensor) -> torch.Tensor:
        return imagined.from_tensor(value.to("meta"))

    weights = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    hollow = {key: there(value) for key, value in weights.items()}
    given = tuple(map(there, example_inputs(contract_of(name, 2), 2)))
    with imagined, torch.no_grad(), Operations() as operations:
        torch.func.functional_call(network, hollow, given)
    assert not operations.on_the_host
    assert not operations.seen & {"lift_fresh", "_local_scalar_dense", "nonzero", "masked_select", "_unique2"}
