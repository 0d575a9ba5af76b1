"""The benchmark of one GPU, rehearsed on the CPU: the whole protocol at tiny size, and what may go wrong in it."""

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
from benchmarks.gpu.measure import NO_TIME, Setting, count_flops
from benchmarks.gpu.page import BEGIN, END, PREDICTIONS, write_page
from benchmarks.gpu.plan import GRAPH, HALF, ORDER, RECIPES, SERVED, VARIANTS, built, contract_of, plan_of
from benchmarks.gpu.results import Chip, NetworkFacts, Point, Results, Service, continue_results, read_results
from benchmarks.gpu.session import ask_variant
from benchmarks.rig.report import BenchmarkError
from export.tensors import example_inputs
from tests.rig.places import ROOT

# The command with four variants more, in a process that has started no threads, as it is on the day.
REHEARSAL = """
import os, signal, sys, threading, torch
from dataclasses import replace
from benchmarks.gpu import command, plan
from benchmarks.gpu.forms import UnavailableError, eager
from benchmarks.gpu.plan import GRAPH, HALF, SERVED, VARIANTS
from tests.rig.places import ROOT

def crash(network):
    os.kill(os.getpid(), signal.SIGSEGV)

def hang(network):
    threading.Event().wait()

def hungry(network, contract, folder):
    ask = eager(network, contract, folder)
    return lambda inputs: ask(inputs) if len(inputs[0]) == 2 else torch.empty(1 << 50)

def lacking(network, contract, folder):
    raise UnavailableError("needs another machine")

VARIANTS["hungry"] = replace(VARIANTS[HALF], name="hungry", form=hungry)
VARIANTS["crashing"] = replace(VARIANTS[HALF], name="crashing", changes=(crash,))
VARIANTS["endless"] = replace(VARIANTS[HALF], name="endless", changes=(hang,), seconds=0.5, least=0.0)
VARIANTS["lacking"] = replace(VARIANTS[HALF], name="lacking", form=lacking)
plan.ORDER = (("sam3", ("hungry", "crashing", "endless", "lacking", HALF, SERVED, GRAPH)),)
sys.exit(command.main(sys.argv[1:]))
"""


@dataclass(frozen=True)
class Rehearsal:
    """What a dry run left."""

    results: Results
    page: str
    said: str
    faults: list[str]

    def point(self, variant: str, batch: int) -> Point:
        return self.results.at("sam3", variant)[batch]


@pytest.fixture(scope="module")
def rehearsal(tmp_path_factory: pytest.TempPathFactory) -> Rehearsal:
    """A dry run of one network in a few variants."""
    folder = tmp_path_factory.mktemp("gpu")
    file, page = folder / "results.json", folder / "page.md"
    arguments = ["--dry-run", "--json", str(file), "--page", str(page)]
    command = [sys.executable, "-c", REHEARSAL, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    return Rehearsal(read_results(file), page.read_text(), done.stdout, done.stderr.splitlines())


def test_the_chip_is_measured_before_all_else(rehearsal: Rehearsal) -> None:
    chip = rehearsal.results.chip
    assert chip is not None
    assert min(chip.fp16, chip.bf16, chip.copy) > 0
    assert rehearsal.said.startswith(chip.name)


@pytest.mark.parametrize("variant", [HALF, SERVED, GRAPH])
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


def test_want_of_memory_at_one_batch_size_is_a_finding(rehearsal: Rehearsal) -> None:
    assert rehearsal.point("hungry", 1) == Point("sam3", "hungry", 1, finding="out of memory")
    assert rehearsal.point("hungry", 2).ms_per_image


def test_a_variant_that_crashes_costs_nothing_else(rehearsal: Rehearsal) -> None:
    assert "signal SIGSEGV" in rehearsal.point("crashing", 2).finding
    assert rehearsal.point(HALF, 2).ms_per_image


def test_a_variant_that_does_not_end_is_stopped(rehearsal: Rehearsal) -> None:
    assert rehearsal.point("endless", 2).finding.startswith("stopped after")


def test_a_dry_run_names_the_pairs_that_failed_and_those_alone(rehearsal: Rehearsal) -> None:
    failed = [line for line in rehearsal.faults if line.startswith("Failed: ")]
    assert failed[0] == "Failed: sam3, hungry: batch 1 out of memory"
    assert [line.split(":")[1] for line in failed] == [" sam3, hungry", " sam3, crashing", " sam3, endless"]
    assert rehearsal.said.endswith("4 of 7 pairs of a network and a variant passed or need another machine.\n")


def test_what_the_machine_lacks_is_told_and_is_no_failure(rehearsal: Rehearsal) -> None:
    assert rehearsal.point("lacking", 1) == Point(
        "sam3", "lacking", 1, finding="needs another machine", unavailable=True
    )
    assert "Cannot be rehearsed on this machine: sam3, lacking: needs another machine" in rehearsal.said.splitlines()


def test_answers_that_the_gate_refuses_fail_a_dry_run_and_so_does_what_was_not_compared() -> None:
    plan = plan_of(["sam3"], [HALF])
    right, wrong, unknown = (Point("sam3", HALF, 2, 1.0, 1.0, faithful=faithful) for faithful in (True, False, None))

    def faults(*points: Point) -> list[str]:
        return not_rehearsed(plan, [2], Results("a machine", dry_run=True, points=points))

    assert faults(right) == []
    assert faults(wrong) == [f"sam3, {HALF}: batch 2 is refused by the gate"]
    assert faults(unknown) == [f"sam3, {HALF}: batch 2 was not compared"]
    assert faults() == [f"sam3, {HALF}: batch 2 was not begun"]


def test_the_page_has_every_point_and_prediction_and_the_claims(rehearsal: Rehearsal) -> None:
    before, _, rest = rehearsal.page.partition(BEGIN)
    filled, _, after = rest.partition(END)
    assert (before, after) == around((ROOT / "benchmarks" / "GPU.md").read_text())
    assert "A dry run: tiny networks on a CPU." in filled
    for point in rehearsal.results.points:
        outcome = f"{point.ms_per_image:.3f}" if point.ms_per_image else point.finding
        assert f"| {point.variant} | {point.batch} | {outcome} |" in filled
    assert all(one.why in filled for one in PREDICTIONS)
    assert "| 8 | not measured | - | - | - | 0.5 | 15–20 GB |" in filled


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
    setting = Setting(tiny=True, batches=(2, 1), folder=tmp_path, logs=tmp_path)
    points = ask_variant(setting, "sam3", VARIANTS[HALF], deadline=time.monotonic() + 1.0)
    assert points == [Point("sam3", HALF, batch, finding=NO_TIME) for batch in (2, 1)]


def test_results_outlive_the_command_and_grow(tmp_path: Path) -> None:
    file = tmp_path / "out" / "results.json"
    first = Point("sam3", HALF, 8, 20.0, 9000.0, {"ALPHA mask IoU": 0.99}, True)
    service = Service(512, 20.0, {"sam3": 15.5}, {"sam3": 20.0}, 30_000.0, 0.9)
    results = Results(
        "a machine",
        dry_run=False,
        commands=("python -m benchmarks gpu",),
        chip=Chip("a GPU", 700.0, 710.0, 3000.0),
        networks={"sam3": NetworkFacts(840_000_000, 6_000_000_000_000)},
        points=(first,),
        service=service,
    )
    results.save(file)
    assert continue_results(file, "a machine", dry_run=False) == results
    assert json.loads(file.read_text())["points"][0]["share_of_peak"] == pytest.approx(6 / 0.02 / 710)
    lost, found = replace(first, ms_per_image=None, finding=NO_TIME), replace(first, batch=16)
    assert results.with_points([lost, found]).points == (first, found)
    assert replace(results, dry_run=True).with_points([lost]).points == (lost,)
    with pytest.raises(BenchmarkError, match="has measurements on a machine, this is measurements on another"):
        continue_results(file, "another", dry_run=False)
    assert results.with_chip(Chip("a GPU", 701.0, 711.0, 3001.0)).chip == Chip("a GPU", 701.0, 711.0, 3001.0)
    with pytest.raises(BenchmarkError, match="results so far are of a GPU, this is its successor: name another"):
        results.with_chip(Chip("its successor", 701.0, 711.0, 3001.0))


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
    network, imagined = built(name, tiny=True), FakeTensorMode()

    def there(value: torch.Tensor) -> torch.Tensor:
        return imagined.from_tensor(value.to("meta"))

    weights = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    hollow = {key: there(value) for key, value in weights.items()}
    given = tuple(map(there, example_inputs(contract_of(name), 2)))
    with imagined, torch.no_grad(), Operations() as operations:
        torch.func.functional_call(network, hollow, given)
    assert not operations.on_the_host
    assert not operations.seen & {"lift_fresh", "_local_scalar_dense", "nonzero", "masked_select", "_unique2"}
