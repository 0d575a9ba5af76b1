"""The model repository: its contract, the ensemble's wiring and the configs derived for smaller machines."""

import shutil
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tritonclient.grpc import model_config_pb2

from server.derive import Machine, derive, read_config, write_derived
from server.installation import ServerError

REPOSITORY = Path(__file__).resolve().parent.parent / "model_repository"
NETWORKS = ("segment", "albedo", "shadow", "recombine")
PYTHON_MODELS = ("decode", "encode")
FP32 = model_config_pb2.TYPE_FP32
KIND_CPU, KIND_GPU = (model_config_pb2.ModelInstanceGroup.Kind.Value(kind) for kind in ("KIND_CPU", "KIND_GPU"))
MEMBERS = (*PYTHON_MODELS, *NETWORKS)
MACHINES = (Machine(gpus=0), Machine(gpus=2), Machine(gpus=8, max_batch=4), Machine(gpus=0, max_batch=2, processes=3))

Configs = dict[str, Any]  # model → its ModelConfig

# Batch dimension omitted; −1 is H, W or K.
CONTRACT = {
    "relight": (
        "IMAGE STRING[1] · PROMPT STRING[1] · THRESHOLDS FP32[2] · LIGHT FP32[-1,16] · FILES STRING[1]",
        "OUTPUT STRING[-1] · DEGRADED STRING[-1] · ALBEDO STRING[1] · MASK STRING[1] · FOREGROUND STRING[1] · "
        "BACKGROUND STRING[1] · INFO STRING[1]",
    ),
    "decode": (
        "IMAGE STRING[1] · PROMPT STRING[1]",
        "ORIGINAL UINT8[-1,-1,3] · SEGMENT_PIXELS UINT8[3,1008,1008] · ALBEDO_PIXELS UINT8[3,768,768] · "
        "SHADOW_PIXELS UINT8[3,518,518] · TOKENS INT64[32] · TOKEN_MASK INT64[32] · ASPECT FP32[1]",
    ),
    "segment": (
        "SEGMENT_PIXELS UINT8[3,1008,1008] · TOKENS INT64[32] · TOKEN_MASK INT64[32] · THRESHOLDS FP32[2]",
        "ALPHA FP32[1,288,288] · SCORE FP32[1] · BOX FP32[4] · COUNT INT32[1]",
    ),
    "albedo": ("ALBEDO_PIXELS UINT8[3,768,768]", "ALBEDO FP16[3,768,768] · RESIDUAL FP32[1]"),
    "shadow": (
        "SHADOW_PIXELS UINT8[3,518,518] · ALPHA FP32[1,288,288] · ASPECT FP32[1] · LIGHT FP32[-1,16]",
        "SHADING FP16[-1,2,518,518]",
    ),
    "recombine": (
        "ORIGINAL UINT8[-1,-1,3] · ALPHA FP32[1,288,288] · THRESHOLDS FP32[2] · ALBEDO FP16[3,768,768] · "
        "SHADING FP16[-1,2,518,518] · LIGHT FP32[-1,16]",
        "OUTPUT_PIXELS UINT8[-1,-1,-1,3] · DEGRADED_PIXELS UINT8[-1,-1,-1,3] · ALBEDO_OUT UINT8[-1,-1,3] · "
        "MASK UINT8[-1,-1]",
    ),
    "encode": (
        "ORIGINAL UINT8[-1,-1,3] · OUTPUT_PIXELS UINT8[-1,-1,-1,3] · DEGRADED_PIXELS UINT8[-1,-1,-1,3] · "
        "ALBEDO_OUT UINT8[-1,-1,3] · MASK UINT8[-1,-1] · SCORE FP32[1] · BOX FP32[4] · COUNT INT32[1] · "
        "RESIDUAL FP32[1] · LIGHT FP32[-1,16] · FILES STRING[1]",
        "OUTPUT STRING[-1] · DEGRADED STRING[-1] · ALBEDO STRING[1] · MASK_IMAGE STRING[1] · FOREGROUND STRING[1] · "
        "BACKGROUND STRING[1] · INFO STRING[1]",
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


SABOTAGE: dict[str, tuple[Callable[[Configs], object], str]] = {
    "renamed in a member": (lambda c: setattr(c["segment"].output[0], "name", "A"), "segment has no output ALPHA."),
    "renamed in a map": (lambda c: step_of(c, "segment").output_map.update(ALPHA="A"), "ALPHA has 0 producers."),
    "renamed at the start": (lambda c: setattr(c["relight"].input[3], "name", "A"), "LIGHT has 0 producers."),
    "another dtype": (lambda c: setattr(c["albedo"].output[0], "data_type", FP32), "albedo gives ALBEDO_MAP as FP32"),
    "another dtype at the end": (lambda c: setattr(c["relight"].output[6], "data_type", FP32), "relight takes FP32[1]"),
    "another size": (lambda c: c["shadow"].input[1].dims.__setitem__(1, 256), "shadow takes FP32[1,256,288]."),
    "another rank": (lambda c: c["decode"].output[6].dims.append(1), "decode gives ASPECT as FP32[1,1]"),
    "an input not mapped": (lambda c: step_of(c, "shadow").input_map.pop("ASPECT"), "input ASPECT of shadow is not"),
    "an output not mapped": (lambda c: step_of(c, "encode").output_map.pop("INFO"), "output INFO of encode is not"),
    "two producers": (lambda c: step_of(c, "albedo").output_map.update(ALBEDO="ALPHA"), "ALPHA has 2 producers."),
    "a model missing": (lambda c: c.pop("encode"), "There is no model encode."),
    "a smaller batch": (lambda c: setattr(c["decode"], "max_batch_size", 4), "decode takes smaller batches"),
}


def test_the_repository_holds_the_models_of_the_contract_and_no_other() -> None:
    assert production().keys() == CONTRACT.keys()


@pytest.mark.parametrize("model", CONTRACT)
def test_every_model_takes_and_gives_what_the_contract_says(model: str) -> None:
    config = production()[model]
    assert config.name == model
    assert (described(config.input), described(config.output)) == CONTRACT[model]


def test_every_tensor_of_the_ensemble_meets_its_neighbours() -> None:
    assert walk(production()) == []


@pytest.mark.parametrize("name", SABOTAGE)
def test_the_walk_finds_what_does_not_meet(name: str) -> None:
    sabotage, sentence = SABOTAGE[name]
    configs = production()
    sabotage(configs)
    assert sentence in " ".join(walk(configs))


@pytest.mark.parametrize("model", MEMBERS)
def test_every_member_batches_dynamically(model: str) -> None:
    assert production()[model].HasField("dynamic_batching")


@pytest.mark.parametrize("model", NETWORKS)
def test_every_network_has_one_instance_on_each_of_eight_gpus(model: str) -> None:
    groups = production()[model].instance_group
    assert [(list(group.gpus), group.count, group.host_policy) for group in groups] == [
        ([gpu], 1, f"gpu_{gpu}") for gpu in range(8)
    ]
    assert {group.kind for group in groups} == {KIND_GPU}


@pytest.mark.parametrize("model", PYTHON_MODELS)
def test_decode_and_encode_run_on_the_cpu(model: str) -> None:
    (group,) = production()[model].instance_group
    assert group.kind == KIND_CPU


@pytest.mark.parametrize("model", NETWORKS)
def test_warm_up_sends_what_the_network_takes(model: str) -> None:
    config = production()[model]
    expected = {tensor.name: tensor for tensor in config.input}
    for warmup in config.model_warmup:
        assert warmup.inputs.keys() == expected.keys()
        assert all(agree(given, expected[name]) for name, given in warmup.inputs.items())
        assert 1 <= warmup.batch_size <= config.max_batch_size


@pytest.mark.parametrize("model", CONTRACT)
def test_on_a_cpu_nothing_asks_for_a_gpu(model: str) -> None:
    derived = derive(production()[model], Machine(gpus=0, processes=3))
    assert derived.max_batch_size == 8
    assert not derived.model_warmup
    assert {group.kind for group in derived.instance_group} <= {KIND_CPU}
    expected = {"relight": [], "decode": [3], "encode": [3]}.get(model, [1])
    assert [group.count for group in derived.instance_group] == expected


@pytest.mark.parametrize("model", NETWORKS)
def test_two_gpus_get_one_instance_each(model: str) -> None:
    derived = derive(production()[model], Machine(gpus=2))
    assert derived.max_batch_size == 16
    expected = [(KIND_GPU, [0], "gpu_0"), (KIND_GPU, [1], "gpu_1")]
    assert [(group.kind, list(group.gpus), group.host_policy) for group in derived.instance_group] == expected


@pytest.mark.parametrize("gpus", [0, 2])
@pytest.mark.parametrize("model", CONTRACT)
def test_the_largest_batch_can_be_chosen(model: str, gpus: int) -> None:
    derived = derive(production()[model], Machine(gpus=gpus, max_batch=4))
    assert derived.max_batch_size == 4
    assert all(warmup.batch_size <= 4 for warmup in derived.model_warmup)


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.config_name)
def test_deriving_changes_no_tensor(machine: Machine) -> None:
    for model, config in production().items():
        derived = derive(config, machine)
        assert config == production()[model]  # nor anything of the original
        for tensor, original in zip(derived.input, config.input, strict=True):
            if model == "recombine" and -1 in tensor.dims:
                tensor.allow_ragged_batch = False  # the one thing that may differ
            assert tensor == original
        assert list(derived.output) == list(config.output)


def test_derived_files_parse_and_meet_and_leave_the_production_files_alone(tmp_path: Path) -> None:
    for model in CONTRACT:
        (tmp_path / model).mkdir()
        shutil.copy(REPOSITORY / model / "config.pbtxt", tmp_path / model)
    names = [write_derived(tmp_path, machine) for machine in MACHINES]
    assert len(set(names)) == len(MACHINES)  # machines that differ never share a file
    for machine, name in zip(MACHINES, names, strict=True):
        parsed = {model: read_config(tmp_path / model / "configs" / f"{name}.pbtxt") for model in CONTRACT}
        assert walk(parsed) == []
        assert parsed == {model: derive(config, machine) for model, config in production().items()}
    for model in CONTRACT:
        assert (tmp_path / model / "config.pbtxt").read_bytes() == (REPOSITORY / model / "config.pbtxt").read_bytes()
    assert not list(tmp_path.rglob("*.partial"))


def test_a_config_that_cannot_be_parsed_is_named(tmp_path: Path) -> None:
    file = tmp_path / "config.pbtxt"
    file.write_text('name: "albedo"\nbogus_field: 1\n')
    with pytest.raises(ServerError, match=r"config\.pbtxt cannot be read: 2:"):
        read_config(file)
