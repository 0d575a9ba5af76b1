"""In eager PyTorch: the replaced pipeline's sequential and batched loops, and one with a DataLoader and a thread pool.

As there, Pillow reads the photos and writes the files at its default settings.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from benchmarks.peers.contestant import Contestant
from benchmarks.peers.job import PICTURES, THRESHOLDS, Job, Row
from benchmarks.peers.networks import TOKENS, Pixels, squash
from export.networks.pattern_bank import PatternBank
from export.networks.presets import PRESETS, Choice, Options, build

CORES = len(os.sched_getaffinity(0))
LOADED_BATCH = 8
Inputs = tuple[Tensor, ...]  # ORIGINAL, the three squares, LIGHT, each with a leading batch


def build_networks(patterns: PatternBank) -> nn.ModuleDict:
    """The preset `classical` as PyTorch modules."""
    choices = {**PRESETS["classical"], "recombine": Choice("recombine")}
    options = Options(patterns)
    return nn.ModuleDict({stage: build(stage, choice, options).network.eval() for stage, choice in choices.items()})


def load_networks(kept: Path) -> nn.ModuleDict:
    """The networks with their shadow patterns; drawing these takes long, so the first round keeps them in a file."""
    if not kept.exists():
        torch.save(build_networks(PatternBank()), kept)
    networks: nn.ModuleDict = torch.load(kept, weights_only=False)  # our own file
    return networks


@torch.inference_mode()
def relight(networks: nn.ModuleDict, inputs: Inputs) -> list[dict[str, Pixels]]:
    """The pictures of each photo by name."""
    original, segment_pixels, albedo_pixels, shadow_pixels, light = inputs
    count, height, width = original.shape[:3]
    tokens = torch.zeros((count, TOKENS), dtype=torch.int64)
    thresholds = torch.tensor(THRESHOLDS).repeat(count, 1)
    aspect = torch.full((count, 1), width / height)
    alpha = networks["segment"](segment_pixels, tokens, tokens, thresholds)[0]
    albedo, _ = networks["albedo"](albedo_pixels)
    shading = networks["shadow"](shadow_pixels, alpha, aspect, light)
    output, _, albedo_out, mask = networks["recombine"](original, alpha, thresholds, albedo, shading, light)
    pictures = (output[:, 0].numpy(), albedo_out.numpy(), mask.numpy())
    return [dict(zip(PICTURES, row, strict=True)) for row in zip(*pictures, strict=True)]


def read_batch(job: Job, rows: Sequence[Row]) -> Inputs:
    """The networks' inputs for some rows."""
    photos = [np.asarray(Image.open(job.path(row)).convert("RGB")) for row in rows]
    light = np.array([[row.light] for row in rows], np.float32)
    return tuple(torch.from_numpy(array) for array in (np.stack(photos), *squash(photos), light))


def save(job: Job, row: Row, pictures: Mapping[str, Pixels]) -> None:
    """Write a row's files."""
    for name, pixels in pictures.items():
        Image.fromarray(pixels).save(job.picture(row, name))


def run_in_batches(networks: nn.ModuleDict, batch: int, job: Job, address: str) -> None:
    """Read, relight, write, one batch after another; a batch of 1 is the sequential loop."""
    for rows in job.batches(batch):
        for row, pictures in zip(rows, relight(networks, read_batch(job, rows)), strict=True):
            save(job, row, pictures)


class Batches(Dataset[tuple[list[Row], Inputs]]):
    """A job's batches, read by the DataLoader's processes."""

    def __init__(self, job: Job) -> None:
        self.job, self.batches = job, job.batches(LOADED_BATCH)

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index: int) -> tuple[list[Row], Inputs]:
        rows = list(self.batches[index])
        return rows, read_batch(self.job, rows)


def run_with_loader(networks: nn.ModuleDict, job: Job, address: str) -> None:
    """Read in processes beside the networks, write in threads beside them."""
    with ThreadPoolExecutor(CORES) as pool:
        writes = [
            pool.submit(save, job, row, pictures)
            for rows, inputs in DataLoader(Batches(job), batch_size=None, num_workers=CORES)
            for row, pictures in zip(rows, relight(networks, inputs), strict=True)
        ]
        for write in writes:
            write.result()


@contextmanager
def family(folder: Path) -> Iterator[Mapping[str, Contestant]]:
    """The loops, in the order of the memory they need."""
    networks = load_networks(folder.parent / "networks.pt")
    yield {
        "sequential": Contestant(partial(run_in_batches, networks, 1)),
        "batch-8": Contestant(partial(run_in_batches, networks, 8)),
        "loader": Contestant(partial(run_with_loader, networks)),
        "batch-16": Contestant(partial(run_in_batches, networks, 16)),
    }
