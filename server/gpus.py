"""Which GPUs serve, what they are, and which CPU socket each is beside."""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from server.installation import ServerError

PCI_DEVICES = Path("/sys/bus/pci/devices")
NUMA_NODES = Path("/sys/devices/system/node")
MIG = "MIG-"  # UUIDs of a GPU's slices begin so


@dataclass(frozen=True)
class Selection:
    """GPUs as asked for.

    Attributes:
        count: how many; 0 for none.
        chosen: numbers as nvidia-smi counts, or UUIDs; empty for the first `count`.
    """

    count: int
    chosen: tuple[str, ...] = ()

    @property
    def environment(self) -> dict[str, str]:
        """What makes CUDA see the chosen GPUs alone, numbered from 0 in the order given."""
        if not self.chosen:
            return {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
        return {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": ",".join(self.chosen)}


@dataclass(frozen=True)
class Gpu:
    """One GPU of this machine, or a slice of one.

    Attributes:
        number: as nvidia-smi counts.
        uuid: "GPU-…".
        bus: its PCI address as /sys names it, e.g. "0000:1b:00.0".
        name: e.g. "NVIDIA H100 80GB HBM3"; a slice has its profile behind it.
    """

    number: str
    uuid: str
    bus: str
    name: str


def parse_selection(text: str) -> Selection:
    """Read `8` (the first eight), `0,2,5`, `2,` (number 2 alone), or UUIDs such as `GPU-…,GPU-…` or `MIG-…`.

    Raises:
        ValueError: it is none of these; a sentence.
    """
    if text.strip().isdecimal():
        return Selection(int(text))
    chosen = tuple(part.strip() for part in text.strip().rstrip(",").split(","))
    if not all(part.isdecimal() or part.startswith(("GPU-", MIG)) for part in chosen):
        raise ValueError(f"{text!r} names no GPUs: write a number of them, a list such as 0,2,5, or UUIDs")
    if len(set(chosen)) < len(chosen):
        raise ValueError(f"{text!r} names a GPU twice")
    if len(chosen) > 1 and any(part.startswith(MIG) for part in chosen):
        raise ValueError(f"{text!r} names several GPUs, but CUDA shows a process one MIG slice: run a server for each")
    return Selection(len(chosen), chosen)


def find_gpus(selection: Selection) -> list[Gpu]:
    """The selected GPUs of this machine, in order.

    Raises:
        ServerError: nvidia-smi does not work, or knows no such GPU.
    """
    if not selection.count:
        return []
    listing = ask_driver("--list-gpus") if any(uuid.startswith(MIG) for uuid in selection.chosen) else ""
    table = ask_driver("--query-gpu=index,uuid,pci.bus_id,name", "--format=csv,noheader")
    return select(selection, table, listing)


def ask_driver(*arguments: str) -> str:
    """What nvidia-smi prints. Raises ServerError."""
    try:
        return subprocess.run(["nvidia-smi", *arguments], check=True, capture_output=True, text=True).stdout
    except FileNotFoundError as error:
        raise ServerError(
            "There is no nvidia-smi: install NVIDIA's driver, in a container give it GPUs, or serve with 0 GPUs."
        ) from error
    except subprocess.CalledProcessError as error:
        reason = (error.stdout + error.stderr).strip()
        raise ServerError(f"nvidia-smi fails ({reason}): the driver must work before Triton can.") from error


def select(selection: Selection, table: str, listing: str = "") -> list[Gpu]:
    """Pick GPUs from what nvidia-smi prints.

    Args:
        selection: whose count is not 0.
        table: lines of `index, uuid, pci.bus_id, name`.
        listing: of --list-gpus, where slices stand below their GPU.

    Raises:
        ServerError: one of them is not there.
    """
    gpus = [read_row(line) for line in table.splitlines() if line.strip()]
    known = {key: gpu for gpu in gpus for key in (gpu.number, gpu.uuid)} | slices(gpus, listing)
    wanted = selection.chosen or tuple(str(number) for number in range(selection.count))
    missing = [key for key in wanted if key not in known]
    if missing:
        present = ", ".join(f"{gpu.number} ({gpu.name})" for gpu in gpus) or "none"
        raise ServerError(f"There is no GPU {', '.join(missing)} here; nvidia-smi lists {present}.")
    return [known[key] for key in wanted]


def read_row(line: str) -> Gpu:
    """Read a line of nvidia-smi's table; it writes eight digits of a PCI domain where /sys has four."""
    number, uuid, bus, name = (part.strip() for part in line.split(",", 3))
    return Gpu(number, uuid, bus.lower()[-12:], name)


def slices(gpus: Sequence[Gpu], listing: str) -> dict[str, Gpu]:
    """MIG slices by UUID, e.g. of `  MIG 3g.40gb     Device  0: (UUID: MIG-…)` below `GPU 0: …`."""
    found, parent = {}, None
    for line in listing.splitlines():
        if line.startswith("GPU "):
            number = line.removeprefix("GPU ").partition(":")[0]
            parent = next((gpu for gpu in gpus if gpu.number == number), None)
        elif parent is not None and (uuid := line.partition("UUID: ")[2].rstrip(")")).startswith(MIG):
            found[uuid] = Gpu(parent.number, parent.uuid, parent.bus, f"{parent.name} MIG {line.split()[1]}")
    return found


def host_policies(gpus: Sequence[Gpu], devices: Path = PCI_DEVICES, nodes: Path = NUMA_NODES) -> list[str]:
    """Triton's flags that keep each GPU's threads and pinned memory on the CPU socket beside it.

    `gpu_<i>` is the policy that the configs give the instance on the i-th GPU. A machine with one socket, or one that
    does not say where its GPUs are, gets no flags.
    """
    if len(list(nodes.glob("node[0-9]*"))) < 2:
        return []
    flags = []
    for position, gpu in enumerate(gpus):
        file = devices / gpu.bus / "numa_node"
        node = int(file.read_text()) if file.exists() else -1
        if node >= 0:
            cores = (nodes / f"node{node}" / "cpulist").read_text().strip()
            flags += [
                f"--host-policy=gpu_{position},{setting}" for setting in (f"numa-node={node}", f"cpu-cores={cores}")
            ]
    return flags
