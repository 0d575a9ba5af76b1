"""In eager PyTorch: the replaced pipeline's sequential and batched loops, and one with a DataLoader and a thread pool.

As there, Pillow reads the photos and writes the files at its default settings.
"""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader

from benchmarks import CORES
from benchmarks.peers.contestants import Contestant, Job
from benchmarks.rig.lights import Row, light_tensors
from benchmarks.rig.networks import PICTURES, Pixels, constants, pictures, squash
from contract.names import NETWORKS
from export.networks.pattern_bank import PatternBank
from export.networks.presets import PRESETS, Choice, Options, build
from export.tensors import read_contract

LOADED_BATCH = 8
CONTRACTS = {network: read_contract(network) for network in NETWORKS}
Inputs = dict[str, Tensor]  # by the names of the networks' inputs, each with a leading batch


def build_networks(patterns: PatternBank) -> nn.ModuleDict:
    """The preset `classical` as PyTorch modules."""
    choices = {**PRESETS["classical"], "recombine": Choice("recombine")}
    options = Options(patterns)
    return nn.ModuleDict({stage: build(stage, choice, options).network.eval() for stage, choice in choices.items()})


@torch.inference_mode()
def relight(networks: nn.ModuleDict, inputs: Inputs) -> list[dict[str, Pixels]]:
    """The pictures of each photo by name."""
    known = dict(inputs)
    for name, contract in CONTRACTS.items():
        answers = networks[name](*(known[spec.name] for spec in contract.inputs))
        given = answers if isinstance(answers, tuple) else (answers,)
        known.update({spec.name: answer for spec, answer in zip(contract.outputs, given, strict=True)})
    made = pictures({name: tensor.numpy() for name, tensor in known.items()})
    return [dict(zip(PICTURES, row, strict=True)) for row in zip(*made, strict=True)]


def read_batch(job: Job, rows: Sequence[Row]) -> Inputs:
    """The networks' inputs for some rows."""
    photos = [np.asarray(Image.open(job.path(row)).convert("RGB")) for row in rows]
    arrays = {**squash(photos), **constants(len(rows)), **light_tensors([[row.light] for row in rows])}
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def save(job: Job, row: Row, made: Mapping[str, Pixels]) -> None:
    """Write a row's files."""
    for name, pixels in made.items():
        Image.fromarray(pixels).save(job.picture(row, name))


def run_in_batches(networks: nn.ModuleDict, batch: int, job: Job, address: str) -> None:
    """Read, relight, write, one batch after another; a batch of 1 is the sequential loop."""
    for rows in job.batches(batch):
        for row, made in zip(rows, relight(networks, read_batch(job, rows)), strict=True):
            save(job, row, made)


def run_with_loader(networks: nn.ModuleDict, job: Job, address: str) -> None:
    """Read in processes beside the networks, write in threads beside them."""
    batches = job.batches(LOADED_BATCH)
    load = partial(read_batch, job)
    loaded: DataLoader[Inputs] = DataLoader(batches, batch_size=None, num_workers=CORES, collate_fn=load)  # type: ignore[arg-type]
    with ThreadPoolExecutor(CORES) as pool:
        writes = [
            pool.submit(save, job, row, made)
            for rows, inputs in zip(batches, loaded, strict=True)
            for row, made in zip(rows, relight(networks, inputs), strict=True)
        ]
        for write in writes:
            write.result()


@contextmanager
def family(folder: Path) -> Iterator[Mapping[str, Contestant]]:
    """The loops, which share their networks."""
    kept = folder.parent / "networks.pt"  # drawing shadow patterns takes long: it is done in the first round only
    if not kept.exists():
        torch.save(build_networks(PatternBank()), kept)
    networks = torch.load(kept, weights_only=False)  # our own file
    sizes = {"sequential": 1, "batch-8": 8, "batch-16": 16}
    in_batches = {name: Contestant(partial(run_in_batches, networks, size)) for name, size in sizes.items()}
    yield {**in_batches, "loader": Contestant(partial(run_with_loader, networks))}
