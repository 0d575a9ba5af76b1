"""Which GPUs serve, what they are, and which CPU socket each is beside."""

from argparse import ArgumentTypeError
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pynvml

from server.installation import ServerError

PCI_DEVICES = Path("/sys/bus/pci/devices")
NUMA_NODES = Path("/sys/devices/system/node")
MIG = "MIG-"  # UUIDs of a GPU's slices begin so


@dataclass(frozen=True)
class Selection:
    """GPUs as asked for."""

    count: int  # how many; 0 for none
    chosen: tuple[str, ...] = ()  # numbers as nvidia-smi counts, or UUIDs; empty for the first `count`

    @property
    def environment(self) -> dict[str, str]:
        """Variables that make CUDA see only the chosen GPUs, numbered from 0 in the order given."""
        visible = {"CUDA_VISIBLE_DEVICES": ",".join(self.chosen)} if self.chosen else {}
        return {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", **visible}


@dataclass(frozen=True)
class Gpu:
    """One GPU of this machine, or a slice of one."""

    number: str  # as nvidia-smi counts
    uuid: str  # "GPU-…", of a slice "MIG-…"
    bus: str  # its PCI address as /sys names it, e.g. "0000:1b:00.0"
    name: str  # e.g. "NVIDIA H100 80GB HBM3"; a slice's ends in its size, e.g. " MIG 3g.40448mb"


def parse_selection(text: str) -> Selection:
    """Read `8` (the first eight), `0,2,5`, `2,` (number 2 alone), or UUIDs such as `GPU-…,GPU-…` or `MIG-…`.

    Raises argparse.ArgumentTypeError: it is none of these; a sentence.
    """
    if text.strip().isdecimal():
        return Selection(int(text))
    chosen = tuple(part.strip() for part in text.strip().rstrip(",").split(","))
    if not all(part.isdecimal() or part.startswith(("GPU-", MIG)) for part in chosen):
        raise ArgumentTypeError(f"{text!r} names no GPUs: write a number of them, a list such as 0,2,5, or UUIDs")
    if len(set(chosen)) < len(chosen):
        raise ArgumentTypeError(f"{text!r} names a GPU twice")
    if len(chosen) > 1 and any(part.startswith(MIG) for part in chosen):
        raise ArgumentTypeError(
            f"{text!r} names several GPUs, but CUDA shows a process one MIG slice: run a server for each"
        )
    return Selection(len(chosen), chosen)


def find_gpus(selection: Selection) -> list[Gpu]:
    """The selected GPUs of this machine, in order.

    Raises ServerError: NVIDIA's driver does not work, or knows no such GPU.
    """
    if not selection.count:
        return []
    try:
        pynvml.nvmlInit()
        gpus = [read_gpu(pynvml.nvmlDeviceGetHandleByIndex(index)) for index in range(pynvml.nvmlDeviceGetCount())]
        slices = [read_slice(uuid) for uuid in selection.chosen if uuid.startswith(MIG)]
    except pynvml.NVMLError_LibraryNotFound as error:
        raise ServerError(
            "There is no NVIDIA driver: install it, in a container give it GPUs, or serve with 0 GPUs."
        ) from error
    except pynvml.NVMLError as error:
        raise ServerError(f"NVIDIA's driver fails ({error}): it must work before Triton can.") from error
    return select(selection, gpus, [found for found in slices if found])


def read_gpu(device: Any) -> Gpu:
    """Describe one of the driver's GPUs; it writes eight digits of a PCI domain where /sys has four."""
    bus = pynvml.nvmlDeviceGetPciInfo(device).busId.lower()[-12:]
    number = str(pynvml.nvmlDeviceGetIndex(device))
    return Gpu(number, pynvml.nvmlDeviceGetUUID(device), bus, pynvml.nvmlDeviceGetName(device))


def read_slice(uuid: str) -> Gpu | None:
    """Describe a MIG slice as its GPU with another UUID and name; None where the driver has no such slice."""
    try:
        device = pynvml.nvmlDeviceGetHandleByUUID(uuid)
    except pynvml.NVMLError_NotFound:
        return None
    whole = read_gpu(pynvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(device))
    size = pynvml.nvmlDeviceGetAttributes(device)
    return replace(whole, uuid=uuid, name=f"{whole.name} MIG {size.gpuInstanceSliceCount}g.{size.memorySizeMB}mb")


def select(selection: Selection, gpus: Sequence[Gpu], slices: Sequence[Gpu] = ()) -> list[Gpu]:
    """Pick GPUs, by number or UUID, and slices by UUID, in the order of the selection, whose count is not 0.

    Raises ServerError: one of them is not there.
    """
    known = {key: gpu for gpu in gpus for key in (gpu.number, gpu.uuid)} | {gpu.uuid: gpu for gpu in slices}
    wanted = selection.chosen or tuple(str(number) for number in range(selection.count))
    missing = [key for key in wanted if key not in known]
    if missing:
        present = ", ".join(f"{gpu.number} ({gpu.name})" for gpu in gpus) or "none"
        raise ServerError(f"There is no GPU {', '.join(missing)} here; the driver lists {present}.")
    return [known[key] for key in wanted]


def host_policies(gpus: Sequence[Gpu], devices: Path = PCI_DEVICES, nodes: Path = NUMA_NODES) -> list[str]:
    """Triton's flags that keep each GPU's threads and pinned memory on the CPU socket beside it.

    `gpu_<i>` is the policy that the configs give the instance on the i-th GPU. There are no flags for a machine with
    one socket, or one that does not say where its GPUs are.
    """
    if len(list(nodes.glob("node[0-9]*"))) < 2:
        return []
    flags = []
    for position, gpu in enumerate(gpus):
        file = devices / gpu.bus / "numa_node"
        node = int(file.read_text("utf-8")) if file.exists() else -1
        if node >= 0:
            cores = (nodes / f"node{node}" / "cpulist").read_text("utf-8").strip()
            settings = (f"numa-node={node}", f"cpu-cores={cores}")
            flags += [f"--host-policy=gpu_{position},{setting}" for setting in settings]
    return flags
