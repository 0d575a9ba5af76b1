"""Writes the model repository that the service is measured with: TorchScript files in half precision, not compared."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from benchmarks.gpu.child import Send
from benchmarks.gpu.networks import built
from benchmarks.gpu.setting import Setting, prepare_child
from contract.versions import REPORT
from export.exporter import Castable
from export.files import torchscript_file
from export.files.repository import lay_out
from export.networks.recombine import Recombine
from export.networks.sam3 import write_tokenizer
from export.tensors import read_contract

STAGES = {"segment": "sam3", "albedo": "marigold", "shadow": "depth-anything"}


def write_repository(setting: Setting, folder: Path, send: Send) -> None:
    """Write every stage's file on the device, the tokenizer and the configs; send each stage's name.

    `python -m export` compares each file with its network before it keeps it, which takes minutes at full size: here
    `python -m benchmarks gpu` has compared the same variant of the same networks.
    """
    prepare_child()
    lay_out(folder)
    for stage, name in STAGES.items():
        network = built(name, setting.tiny).to(setting.device)
        if isinstance(network, Castable):
            network.cast_weights(torch.float16)
        write_stage(stage, network, folder)
        send(stage)
    write_stage("recombine", Recombine().to(setting.device).eval(), folder)
    write_tokenizer(None, folder / "decode" / "1")
    send("recombine")


def write_stage(stage: str, network: torch.nn.Module, folder: Path) -> None:
    """Write one network's file, and the report by which the server knows its format."""
    version = folder / stage / "1"
    torchscript_file.write(network, read_contract(stage), version)
    (version / REPORT).write_text(json.dumps({"network": stage, "weights": "random", "format": "torchscript"}))
