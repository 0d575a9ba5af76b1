"""GPUs as an operator names them: a number, a list, UUIDs or a MIG slice; and the CPU socket beside each."""

import subprocess
import sys
from argparse import ArgumentTypeError
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pynvml
import pytest

from server.gpus import Gpu, Selection, find_gpus, host_policies, parse_selection, select
from server.installation import ServerError
from tests.rig.places import ROOT

FIRST = Gpu("0", "GPU-aaaa", "0000:1b:00.0", "NVIDIA H100 80GB HBM3")
SECOND = Gpu("1", "GPU-bbbb", "0000:43:00.0", "NVIDIA H100 80GB HBM3")
THIRD = Gpu("2", "GPU-cccc", "0000:9b:00.0", "NVIDIA A100-SXM4-80GB")
GPUS = [FIRST, SECOND, THIRD]
SLICE = Gpu("1", "MIG-2222", "0000:43:00.0", "NVIDIA H100 80GB HBM3 MIG 1g.9856mb")


@pytest.mark.parametrize(
    ("text", "selection"),
    [
        ("0", Selection(0)),
        ("8", Selection(8)),
        ("0,2,5", Selection(3, ("0", "2", "5"))),
        ("2,", Selection(1, ("2",))),
        ("GPU-aaaa, GPU-cccc", Selection(2, ("GPU-aaaa", "GPU-cccc"))),
        ("MIG-1111", Selection(1, ("MIG-1111",))),
    ],
)
def test_a_selection_is_a_number_a_list_or_uuids(text: str, selection: Selection) -> None:
    assert parse_selection(text) == selection


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("-1", "names no GPUs"),
        ("", "names no GPUs"),
        ("0,,1", "names no GPUs"),
        ("all", "names no GPUs"),
        ("1,1", "names a GPU twice"),
        ("MIG-1111,MIG-2222", "CUDA shows a process one MIG slice"),
    ],
)
def test_what_is_no_selection_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(ArgumentTypeError, match=reason):
        parse_selection(text)


def test_cuda_sees_the_chosen_gpus_alone_and_counts_as_nvidia_smi_does() -> None:
    assert Selection(8).environment == {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    expected = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": "0,2,5"}
    assert parse_selection("0,2,5").environment == expected


def test_gpus_are_found_by_number_and_by_uuid_in_the_order_asked_for() -> None:
    assert select(Selection(1), GPUS) == [FIRST]
    assert select(parse_selection("2,0"), GPUS) == [THIRD, FIRST]
    assert select(parse_selection("GPU-bbbb"), GPUS) == [SECOND]
    assert select(parse_selection("MIG-2222"), GPUS, [SLICE]) == [SLICE]


@pytest.mark.parametrize(("text", "missing"), [("5", "3, 4"), ("MIG-3333", "MIG-3333")])
def test_a_gpu_that_is_not_there_is_named_beside_those_that_are(text: str, missing: str) -> None:
    with pytest.raises(ServerError, match=rf"no GPU {missing} here; the driver lists 0 \(NVIDIA H100 80GB HBM3\), 1 "):
        select(parse_selection(text), GPUS)


def test_the_driver_is_asked_for_what_a_gpu_and_a_slice_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver's library answers as NVIDIA documents it; a machine with GPUs is not at hand."""
    answers: dict[str, Callable[..., object]] = {
        "Init": lambda: None,
        "DeviceGetCount": lambda: 2,
        "DeviceGetHandleByIndex": lambda index: GPUS[index],
        "DeviceGetIndex": lambda gpu: int(gpu.number),
        "DeviceGetPciInfo": lambda gpu: SimpleNamespace(busId=f"0000{gpu.bus}".upper()),
        "DeviceGetUUID": lambda gpu: gpu.uuid,
        "DeviceGetName": lambda gpu: gpu.name,
        "DeviceGetHandleByUUID": lambda uuid: {SLICE.uuid: SLICE}[uuid],
        "DeviceGetDeviceHandleFromMigDeviceHandle": lambda gpu: SECOND,
        "DeviceGetAttributes": lambda gpu: SimpleNamespace(gpuInstanceSliceCount=1, memorySizeMB=9856),
    }
    for name, answer in answers.items():
        monkeypatch.setattr(pynvml, f"nvml{name}", answer)
    assert find_gpus(Selection(2)) == [FIRST, SECOND]
    assert find_gpus(parse_selection("MIG-2222")) == [SLICE]


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        (pynvml.NVMLError_LibraryNotFound, "no NVIDIA driver: .* or serve with 0 GPUs"),
        (pynvml.NVMLError_DriverNotLoaded, r"driver fails \(Driver Not Loaded\)"),
    ],
)
def test_a_machine_without_a_working_driver_is_told_what_to_do(
    monkeypatch: pytest.MonkeyPatch, fault: type[Exception], sentence: str
) -> None:
    def fail() -> None:
        raise fault

    monkeypatch.setattr(pynvml, "nvmlInit", fail)
    assert find_gpus(Selection(0)) == []
    with pytest.raises(ServerError, match=sentence):
        find_gpus(Selection(1))


def machine(folder: Path, sockets: int, beside: dict[str, str]) -> tuple[Path, Path]:
    """/sys as a machine with `sockets` CPU sockets shows it; `beside` holds numa_node by PCI address."""
    for node in range(sockets):
        (folder / "node" / f"node{node}").mkdir(parents=True)
        (folder / "node" / f"node{node}" / "cpulist").write_text(f"{48 * node}-{48 * node + 47}\n")
    for bus, node_of in beside.items():
        (folder / "pci" / bus).mkdir(parents=True)
        (folder / "pci" / bus / "numa_node").write_text(f"{node_of}\n")
    return folder / "pci", folder / "node"


def test_each_gpu_is_served_from_the_socket_beside_it(tmp_path: Path) -> None:
    files = machine(tmp_path, 2, {FIRST.bus: "0", THIRD.bus: "1"})
    assert host_policies([THIRD, FIRST], *files) == [
        "--host-policy=gpu_0,numa-node=1",
        "--host-policy=gpu_0,cpu-cores=48-95",
        "--host-policy=gpu_1,numa-node=0",
        "--host-policy=gpu_1,cpu-cores=0-47",
    ]


@pytest.mark.parametrize(("sockets", "node"), [(1, "0"), (2, "-1")])
def test_a_machine_that_does_not_tell_sockets_apart_gets_no_policies(tmp_path: Path, sockets: int, node: str) -> None:
    assert host_policies([FIRST], *machine(tmp_path, sockets, {FIRST.bus: node})) == []
    assert host_policies([SECOND], *machine(tmp_path / "unknown", sockets, {})) == []


@pytest.mark.parametrize("command", ["server", "server.derive"])
def test_the_command_line_refuses_what_names_no_gpus(command: str) -> None:
    line = [sys.executable, "-m", command, "--gpus", "all"]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "'all' names no GPUs: write a number of them, a list such as 0,2,5, or UUIDs" in done.stderr
