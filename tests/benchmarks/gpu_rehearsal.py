"""`python -m benchmarks gpu` with four variants more, in a process that has started no threads, as it is on the day."""

import os
import signal
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks.gpu import command, plan
from benchmarks.gpu.forms import TORCHSCRIPT, UnavailableError
from benchmarks.gpu.plan import SCRIPT, SEED, VARIANTS
from export.tensors import Contract, Runtime


def nothing(network: nn.Module, contract: Contract, folder: Path) -> None:
    """Write nothing."""


def crash(network: nn.Module, contract: Contract, folder: Path) -> None:
    """End the process as a fault in a library does."""
    os.kill(os.getpid(), signal.SIGSEGV)


def lack(network: nn.Module, contract: Contract, folder: Path) -> None:
    """Find that something is missing."""
    raise UnavailableError("needs another machine")


def hang(folder: Path, device: torch.device) -> Runtime:
    """Never return."""
    threading.Event().wait()
    raise AssertionError


def hunger(folder: Path, device: torch.device) -> Runtime:
    """Ask for more memory than there is, except for one row."""
    ask = TORCHSCRIPT.open(folder, device)
    return lambda inputs: ask(inputs) if len(inputs[0]) == 1 else (torch.empty(1 << 50),)


def add(name: str, seconds: float = 90.0, **changes: Any) -> None:
    """Add a variant."""
    form = replace(TORCHSCRIPT, served=False, **changes)
    VARIANTS[name] = replace(VARIANTS[SCRIPT], name=name, seconds=seconds, form=form)


if __name__ == "__main__":
    add("hungry", open=hunger)
    add("crashing", write=crash)
    add("endless", 0.5, write=nothing, open=hang)
    add("lacking", write=lack)
    others = [(name, (SCRIPT,)) for name in plan.SERVED.values() if name != "sam3"]
    plan.ORDER = (("sam3", ("hungry", "crashing", "endless", "lacking", SCRIPT, SEED)), *others)
    sys.exit(command.main(sys.argv[1:]))
