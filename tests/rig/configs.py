"""The repository's configs for the tests: the contract they are to obey, and a walk along the ensemble's tensors."""

from collections import defaultdict
from typing import Any

from tritonclient.grpc import model_config_pb2

from contract.names import NETWORKS
from server.derive import read_config
from tests.rig.places import REPOSITORY

PYTHON_MODELS = ("decode", "encode")
MEMBERS = (*PYTHON_MODELS, *NETWORKS)
KIND_CPU, KIND_GPU = (model_config_pb2.ModelInstanceGroup.Kind.Value(kind) for kind in ("KIND_CPU", "KIND_GPU"))

Configs = dict[str, Any]  # model → its ModelConfig

# Batch dimension omitted; −1 is H, W, K (pictures), L (sources) or P (planes of a value).
CONTRACT = {
    "relight": (
        "IMAGE STRING[1] · PROMPT STRING[1] · THRESHOLDS FP32[2] · LIGHT FP32[-1,-1,16] · SCENE FP32[-1,32] · "
        "FILES STRING[1] · BACKDROP STRING[1]",
        "OUTPUT STRING[-1] · DEGRADED STRING[-1] · SHADING STRING[-1] · ENVIRONMENT STRING[-1] · ALBEDO STRING[1] · "
        "ALPHA STRING[1] · NORMAL STRING[1] · DEPTH STRING[1] · MASK STRING[1] · FOREGROUND STRING[1] · "
        "BACKGROUND STRING[1] · INPUT STRING[1] · INFO STRING[1]",
    ),
    "decode": (
        "IMAGE STRING[1] · PROMPT STRING[1] · THRESHOLDS FP32[2] · LIGHT FP32[-1,-1,16] · SCENE FP32[-1,32] · "
        "FILES STRING[1] · BACKDROP STRING[1]",
        "ORIGINAL UINT8[-1,-1,3] · SEGMENT_PIXELS UINT8[3,1008,1008] · ALBEDO_PIXELS UINT8[3,768,768] · "
        "SHADOW_PIXELS UINT8[3,518,518] · TOKENS INT64[32] · TOKEN_MASK INT64[32] · ASPECT FP32[1] · "
        "FRAME INT32[6] · PLANES INT32[-1] · BACKDROP_PIXELS UINT8[-1,-1,3]",
    ),
    "segment": (
        "SEGMENT_PIXELS UINT8[3,1008,1008] · TOKENS INT64[32] · TOKEN_MASK INT64[32] · THRESHOLDS FP32[2] · "
        "ASPECT FP32[1]",
        "ALPHA FP32[1,288,288] · SCORE FP32[1] · BOX FP32[4] · COUNT INT32[1]",
    ),
    "albedo": ("ALBEDO_PIXELS UINT8[3,768,768]", "ALBEDO FP16[3,768,768] · RESIDUAL FP32[1]"),
    "shadow": (
        "SHADOW_PIXELS UINT8[3,518,518] · ALPHA FP32[1,288,288] · ASPECT FP32[1] · LIGHT FP32[-1,-1,16] · "
        "SCENE FP32[-1,32]",
        "SHADING FP16[-1,6,518,518] · NORMAL FP16[3,518,518] · HEIGHT FP16[1,518,518]",
    ),
    "recombine": (
        "ORIGINAL UINT8[-1,-1,3] · ALPHA FP32[1,288,288] · THRESHOLDS FP32[2] · ALBEDO FP16[3,768,768] · "
        "SHADING FP16[-1,6,518,518] · SCENE FP32[-1,32] · PLANES INT32[-1]",
        "OUTPUT_PIXELS UINT8[-1,-1,-1,-1,3] · DEGRADED_PIXELS UINT8[-1,-1,-1,-1,3] · "
        "ALBEDO_OUT UINT8[-1,-1,-1,3] · MASK UINT8[-1,-1]",
    ),
    "encode": (
        "ORIGINAL UINT8[-1,-1,3] · OUTPUT_PIXELS UINT8[-1,-1,-1,-1,3] · DEGRADED_PIXELS UINT8[-1,-1,-1,-1,3] · "
        "ALBEDO_OUT UINT8[-1,-1,-1,3] · MASK UINT8[-1,-1] · ALPHA FP32[1,288,288] · SHADING FP16[-1,6,518,518] · "
        "NORMAL FP16[3,518,518] · HEIGHT FP16[1,518,518] · FRAME INT32[6] · BACKDROP_PIXELS UINT8[-1,-1,3] · "
        "SCORE FP32[1] · BOX FP32[4] · COUNT INT32[1] · RESIDUAL FP32[1] · LIGHT FP32[-1,-1,16] · SCENE FP32[-1,32] · "
        "FILES STRING[1]",
        "OUTPUT STRING[-1] · DEGRADED STRING[-1] · SHADING_FILE STRING[-1] · ENVIRONMENT STRING[-1] · "
        "ALBEDO STRING[1] · MASK_FILE STRING[1] · ALPHA_FILE STRING[1] · NORMAL_FILE STRING[1] · DEPTH STRING[1] · "
        "FOREGROUND STRING[1] · BACKGROUND STRING[1] · INPUT STRING[1] · INFO STRING[1]",
    ),
}


def production() -> Configs:
    return {file.parent.name: read_config(file) for file in REPOSITORY.glob("*/config.pbtxt")}


def described(tensors: Any) -> str:
    """Tensors as the contract writes them."""
    return " · ".join(f"{tensor.name} {type_of(tensor)}" for tensor in tensors)


def type_of(tensor: Any) -> str:
    name = model_config_pb2.DataType.Name(tensor.data_type).removeprefix("TYPE_")
    return f"{name}[{','.join(map(str, tensor.dims))}]"


def agree(one: Any, other: Any) -> bool:
    """Whether two tensors have one dtype, one rank and no fixed size that differs."""
    sizes = zip(one.dims, other.dims, strict=False)
    fits = len(one.dims) == len(other.dims) and all(a == b or -1 in (a, b) for a, b in sizes)
    return bool(one.data_type == other.data_type and fits)


def walk(configs: Configs) -> list[str]:
    """Follow every tensor of the ensemble from its producer to its consumers; one sentence per fault."""
    ensemble, faults = configs["relight"], []
    producers: dict[str, list[tuple[str, Any]]] = defaultdict(list)
    consumers: dict[str, list[tuple[str, Any]]] = defaultdict(list)
    for tensor in ensemble.input:
        producers[tensor.name].append(("relight", tensor))
    for tensor in ensemble.output:
        consumers[tensor.name].append(("relight", tensor))
    for step in ensemble.ensemble_scheduling.step:
        member = configs.get(step.model_name)
        if member is None:
            faults.append(f"There is no model {step.model_name}.")
            continue
        if member.max_batch_size < ensemble.max_batch_size:
            faults.append(f"{member.name} takes smaller batches than relight.")
        inputs = ("input", step.input_map, member.input, consumers)
        outputs = ("output", step.output_map, member.output, producers)
        for kind, mapped, tensors, ends in (inputs, outputs):
            known = {tensor.name: tensor for tensor in tensors}
            faults += [f"{member.name} has no {kind} {name}." for name in sorted(mapped.keys() - known.keys())]
            faults += [
                f"The {kind} {name} of {member.name} is not mapped." for name in sorted(known.keys() - mapped.keys())
            ]
            for name in known.keys() & mapped.keys():
                ends[mapped[name]].append((member.name, known[name]))
    for name in sorted(producers.keys() | consumers.keys()):
        if len(producers[name]) != 1:
            faults.append(f"{name} has {len(producers[name])} producers.")
        if not consumers[name]:
            faults.append(f"Nothing takes {name}.")
        for source, given in producers[name]:
            for target, taken in consumers[name]:
                if not agree(given, taken):
                    faults.append(f"{source} gives {name} as {type_of(given)}, {target} takes {type_of(taken)}.")
    return faults


def step_of(configs: Configs, model: str) -> Any:
    return next(step for step in configs["relight"].ensemble_scheduling.step if step.model_name == model)
