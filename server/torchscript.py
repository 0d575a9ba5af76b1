"""Rewrites configs for networks exported as TorchScript: Triton's `pytorch` backend and its names for the tensors."""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

from tritonclient.grpc import model_config_pb2

from contract.versions import REPORT, newest_version
from server.installation import ServerError

Configs = dict[str, model_config_pb2.ModelConfig]  # by model


def torchscript_models(repository: Path) -> set[str]:
    """Names of the models whose newest version was exported as TorchScript. Raises ServerError as `exported_format`."""
    models = [file.parent for file in repository.glob("*/config.pbtxt")]
    return {model.name for model in models if exported_format(model) != "onnx"}


def exported_format(model: Path) -> str:
    """Format of a model's newest version, "onnx" or "torchscript", as its export.json says; "onnx" where none does.

    Raises ServerError: export.json cannot be read or names another format.
    """
    found = read_report(model).get("format", "onnx")
    if found not in ("onnx", "torchscript"):
        raise ServerError(
            f"{newest_version(model)}/{REPORT} has the format {found!r}; onnx and torchscript can be served."
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


def serve_as_torchscript(configs: Configs, models: set[str]) -> None:
    """Change the configs of `models`, and what an ensemble maps to them, to the `pytorch` backend, in place.

    There a tensor's name ends in its position in the network's signature: ALPHA → ALPHA__0.
    """
    for name in models:
        config = configs[name]
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
