"""The model repository: its contract and the ensemble's wiring."""

from collections.abc import Callable

import pytest
from tritonclient.grpc import model_config_pb2

from contract.names import NETWORKS
from tests.rig.configs import (
    CONTRACT,
    KIND_CPU,
    KIND_GPU,
    MEMBERS,
    PYTHON_MODELS,
    Configs,
    agree,
    described,
    production,
    step_of,
    walk,
)

FP32 = model_config_pb2.TYPE_FP32

SABOTAGE: dict[str, tuple[Callable[[Configs], object], str]] = {
    "renamed in a member": (lambda c: setattr(c["segment"].output[0], "name", "A"), "segment has no output ALPHA."),
    "renamed in a map": (lambda c: step_of(c, "segment").output_map.update(ALPHA="A"), "ALPHA_MAP has 0 producers"),
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
