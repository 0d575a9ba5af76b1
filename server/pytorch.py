"""Rewrites configs for networks of torch's own formats: Triton's `pytorch` backend and its names for the tensors."""

import json
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

from tritonclient.grpc import model_config_pb2

from contract.versions import REPORT, newest_version
from server.installation import ServerError

ONNX, TORCHSCRIPT, AOTI = FORMATS = "onnx", "torchscript", "aoti"  # of export.json
Configs = dict[str, model_config_pb2.ModelConfig]  # by model


def torch_models(repository: Path) -> dict[str, str]:
    """Format of each model whose newest version was not exported as ONNX. Raises ServerError as `exported_format`."""
    formats = {file.parent.name: exported_format(file.parent) for file in repository.glob("*/config.pbtxt")}
    return {model: found for model, found in formats.items() if found != ONNX}


def exported_format(model: Path) -> str:
    """Format of a model's newest version, one of FORMATS, as its export.json says; "onnx" where none does.

    Raises ServerError: export.json cannot be read or names another format.
    """
    found = read_report(model).get("format", ONNX)
    if found not in FORMATS:
        raise ServerError(
            f"{newest_version(model)}/{REPORT} has the format {found!r}; {', '.join(FORMATS)} can be served."
        )
    return str(found)


def read_report(model: Path) -> dict[str, Any]:
    """The export.json of a model's newest version; empty where it has none. Raises ServerError: it cannot be read."""
    report = (newest_version(model) or model) / REPORT
    if not report.exists():
        return {}
    try:
        found = json.loads(report.read_text("utf-8"))
    except ValueError as error:
        raise ServerError(f"{report} cannot be read ({error}): export the network again.") from error
    if not isinstance(found, dict):
        raise ServerError(f"{report} cannot be read (it holds no object): export the network again.")
    return found


def serve_with_torch(configs: Configs, models: Mapping[str, str], native: bool) -> None:
    """Change the configs of `models`, and what an ensemble maps to them, to the `pytorch` backend, in place.

    There a tensor's name ends in its position in the network's signature: ALPHA → ALPHA__0.

    Args:
        configs: of every model.
        models: format of each that the backend is to serve.
        native: whether the backend is NVIDIA's, which has a platform for AOTInductor.
    """
    for name, file_format in models.items():
        config = configs[name]
        if native and file_format == AOTI:
            serve_one_by_one(configs, name)
            config.platform = "torch_aoti"
        config.backend = "pytorch"
        config.ClearField("optimization")  # accelerators of ONNX Runtime
        inputs, outputs = numbered(config.input), numbered(config.output)
        for warmup in config.model_warmup:
            rename_keys(warmup.inputs, inputs)
        for ensemble in configs.values():
            for step in ensemble.ensemble_scheduling.step:
                if step.model_name == name:
                    rename_keys(step.input_map, inputs)
                    rename_keys(step.output_map, outputs)


def serve_one_by_one(configs: Configs, name: str) -> None:
    """Let no two requests for a model be joined, and none have more than one row; nor those for an ensemble with it.

    NVIDIA's backend does not divide the answer to joined requests among them, and says that larger batches are not
    completed yet (github.com/triton-inference-server/pytorch_backend, May 2026).
    """
    with_it = [one for one in configs.values() if any(step.model_name == name for step in one.ensemble_scheduling.step)]
    for config in (configs[name], *with_it):
        config.max_batch_size = 1
        for warmup in config.model_warmup:
            warmup.batch_size = 1
    configs[name].ClearField("dynamic_batching")


def numbered(tensors: Any) -> dict[str, str]:
    """Rename tensors in place to <name>__<position>; return old name → new name."""
    names = {tensor.name: f"{tensor.name}__{position}" for position, tensor in enumerate(tensors)}
    for tensor in tensors:
        tensor.name = names[tensor.name]
    return names


def rename_keys(field: Any, names: dict[str, str]) -> None:
    """Rename the keys of a protobuf map in place; a key without a new name stays, and Triton reports it."""
    kept = deepcopy(dict(field))  # clearing the map empties its messages too
    field.clear()
    for key, value in kept.items():
        if isinstance(value, str):
            field[names.get(key, key)] = value
        else:  # a message, which a map takes no assignment of
            field[names.get(key, key)].CopyFrom(value)
