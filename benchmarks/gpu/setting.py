"""What all measurements of one command share."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.gpu.child import StartMethod


@dataclass(frozen=True)
class Setting:
    """Where and how is measured.

    Attributes:
        tiny: a dry run: networks a few channels wide, on the CPU.
        batches: batch sizes in the order in which they are measured; at the first, answers are compared.
        folder: for files that need not be kept.
        logs: for what the processes print.
        start: how child processes come about.
    """

    tiny: bool
    batches: tuple[int, ...]
    folder: Path
    logs: Path
    start: StartMethod = "fork"

    @property
    def device(self) -> torch.device:
        """The one GPU, or the CPU in a dry run."""
        return torch.device("cpu") if self.tiny else torch.device("cuda", 0)

    @property
    def warm_up(self) -> int:
        """Batches that do not count: the first compiles and chooses kernels, the second may still record."""
        return 1 if self.tiny else 2

    @property
    def rounds(self) -> tuple[int, int]:
        """The fewest and the most rounds whose median counts."""
        return (1, 1) if self.tiny else (3, 20)

    def reference(self, network: str) -> Path:
        """The file of a network's answers in float32."""
        return self.folder / f"{network}.reference.pt"

    def log(self, *names: str) -> Path:
        """A file for what a process prints."""
        return self.logs / ("-".join(names).replace(" ", "-") + ".log")


def prepare_child() -> None:
    """Make a forked process ready: its parent keeps to one thread, since threads do not survive a fork."""
    torch.set_num_threads(len(os.sched_getaffinity(0)))
