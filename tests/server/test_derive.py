"""The configs derived for other machines and for networks exported in torch's own formats."""

import json
import shutil
from pathlib import Path

import pytest

from contract.names import NETWORKS
from server.derive import Machine, derive, derive_all, main, read_config, read_memory, write_derived
from server.installation import ServerError
from server.pytorch import exported_format
from server.tensorrt import accelerator, engine_folder, engines_of, keep_engine, shapes, tensorrt_version
from tests.rig.configs import CONTRACT, KIND_CPU, KIND_GPU, MEMBERS, production, step_of, walk
from tests.rig.places import REPOSITORY

MACHINES = (
    Machine(gpus=0),
    Machine(gpus=2),
    Machine(gpus=2, turns=False),
    Machine(gpus=8, max_batch=4),
    Machine(gpus=0, max_batch=2, processes=3),
    Machine(gpus=0, memory=16),
    Machine(gpus=8, memory=1000),
    Machine(gpus=8, native=True),
    Machine(gpus=8, native=True, engines=Path("/engines")),
)
ENGINES = ("segment", "albedo")  # what TensorRT is given
SHA256 = "0123456789abcdef" * 4


@pytest.mark.parametrize("model", CONTRACT)
def test_on_a_cpu_nothing_asks_for_a_gpu(model: str) -> None:
    derived = derive(production()[model], Machine(gpus=0, processes=3))
    assert derived.max_batch_size == 6  # a row for each core
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


@pytest.mark.parametrize("model", CONTRACT)
def test_on_a_gpu_the_long_networks_take_turns_where_each_is_a_process(model: str) -> None:
    """`tests/benchmarks/test_simulate.py` serves such configs."""
    machines = (Machine(gpus=2), Machine(gpus=2, turns=False), Machine(gpus=2, native=True), Machine(gpus=0))
    taking = ["take_turns" in derive(production()[model], machine).parameters for machine in machines]
    assert taking == [model in ("segment", "albedo"), False, False, False]


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


@pytest.mark.parametrize(
    ("machine", "megabytes", "megapixels"),
    [
        (Machine(gpus=0), "3000", "100"),  # as written by hand
        (Machine(gpus=0, memory=1), "250", "1.247"),  # as little as a small photo takes
        (Machine(gpus=0, memory=16), "3689", "24.17"),  # 12.1 GB for two photos at once and 64 that wait
        (Machine(gpus=0, memory=16, processes=4), "1926", "12.42"),  # five at once, not eight
        (Machine(gpus=0, memory=16, processes=4, max_batch=8), "1303", "8.267"),
        (Machine(gpus=0, memory=1000), "16000", "100"),
        (Machine(gpus=8, memory=1000), "3000", "100"),
        (Machine(gpus=1, memory=16), "3000", "100"),
    ],
)
def test_the_memory_of_a_machine_limits_what_a_photo_may_take(
    machine: Machine, megabytes: str, megapixels: str
) -> None:
    derived = derive(production()["decode"], machine)
    limits = [derived.parameters[name].string_value for name in ("max_memory_megabytes", "max_megapixels")]
    assert limits == [megabytes, megapixels]


def test_a_container_has_the_memory_of_its_limit(tmp_path: Path) -> None:
    limits = [tmp_path / name for name in ("max", "less", "missing")]
    limits[0].write_text("max\n")
    whole = read_memory(limits[:1])
    assert whole >= 1
    limits[1].write_text(f"{whole * 10**9 // 2}\n")
    assert read_memory(limits) == max(1, whole // 2)


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


def exported(folder: Path, *models: str, file_format: str = "torchscript") -> Path:
    """A repository in which `models` are in a format of torch's and the others ONNX, as their export.json say."""
    for model in CONTRACT:
        (folder / model / "1").mkdir(parents=True)
        shutil.copy(REPOSITORY / model / "config.pbtxt", folder / model)
    for model in NETWORKS:
        report = {"network": model, "format": file_format if model in models else "onnx", "sha256": SHA256}
        (folder / model / "1" / "export.json").write_text(json.dumps(report))
    return folder


@pytest.mark.parametrize("file_format", ["torchscript", "aoti"])
@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.config_name)
def test_networks_of_torchs_formats_get_their_backend_and_its_names_and_nothing_else_changes(
    tmp_path: Path, machine: Machine, file_format: str
) -> None:
    models = ("segment", "shadow")
    derived = derive_all(exported(tmp_path, *models, file_format=file_format), machine)
    assert walk(derived) == []
    for model, config in production().items():
        expected = derive(config, machine)
        if model in models:
            assert derived[model].backend == "pytorch"
            expected.backend = "pytorch"
            if machine.native and file_format == "aoti":
                expected.platform, expected.max_batch_size = "torch_aoti", 1
                expected.ClearField("dynamic_batching")
                for warmup in expected.model_warmup:
                    warmup.batch_size = 1
            expected.ClearField("optimization")
            for tensors in (expected.input, expected.output):
                for position, tensor in enumerate(tensors):
                    tensor.name += f"__{position}"
            positions = {tensor.name.partition("__")[0]: tensor.name for tensor in expected.input}
            for warmup in expected.model_warmup:
                for name in list(warmup.inputs):
                    warmup.inputs[positions[name]].CopyFrom(warmup.inputs[name])
                    del warmup.inputs[name]
        if machine.engines:
            keep_engine(expected, engine_folder(machine.engines, model, SHA256))
        if model != "relight":
            assert derived[model] == expected


def test_the_ensemble_maps_a_torchscript_network_by_its_new_names(tmp_path: Path) -> None:
    derived = derive_all(exported(tmp_path, "albedo"), Machine(gpus=0))
    step = step_of(derived, "albedo")
    assert dict(step.input_map) == {"ALBEDO_PIXELS__0": "ALBEDO_PIXELS"}
    assert dict(step.output_map) == {"ALBEDO__0": "ALBEDO_MAP", "RESIDUAL__1": "RESIDUAL"}
    for model in set(MEMBERS) - {"albedo"}:
        assert step_of(derived, model) == step_of(production(), model)
    assert derived["relight"].input == production()["relight"].input
    assert derived["relight"].output == production()["relight"].output


def test_nvidias_backend_gets_compiled_networks_one_photo_at_a_time(tmp_path: Path) -> None:
    """It would hand each of several joined requests the answer to all, and an ensemble may not take more than it."""
    exported(tmp_path, "albedo", file_format="aoti")
    limits = {name: config.max_batch_size for name, config in derive_all(tmp_path, Machine(8, native=True)).items()}
    assert limits == {name: 1 if name in ("relight", "albedo") else 16 for name in CONTRACT}
    assert derive_all(tmp_path, Machine(8))["albedo"].platform == ""


def test_accelerators_of_onnx_runtime_are_not_handed_to_the_pytorch_backend(tmp_path: Path) -> None:
    exported(tmp_path, "segment")
    machine = Machine(gpus=1, native=True, engines=Path("/engines"))
    assert accelerator(derive_all(tmp_path, machine)["segment"]) is None
    assert accelerator(derive_all(tmp_path, machine)["albedo"]) is not None


def test_the_newest_version_decides_on_the_format_and_onnx_is_the_default(tmp_path: Path) -> None:
    model = exported(tmp_path, "segment") / "segment"
    (model / "configs").mkdir()
    assert exported_format(model) == "torchscript"
    for version, report in (("2", {"format": "onnx"}), ("10", {"format": "torchscript"}), ("11", {"network": "sam3"})):
        (model / version).mkdir()
        (model / version / "export.json").write_text(json.dumps(report))
        assert exported_format(model) == report.get("format", "onnx")
    (model / "12").mkdir()
    assert exported_format(model) == "onnx"
    assert exported_format(tmp_path / "decode") == "onnx"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('{"format": "onn', "cannot be read .*: export the network again"),
        ("[]", "cannot be read .*: export the network again"),
        ('{"format": "tensorrt"}', "has the format 'tensorrt'; onnx, torchscript, aoti can be served"),
    ],
)
def test_an_export_that_cannot_be_served_is_named_with_the_remedy(tmp_path: Path, text: str, sentence: str) -> None:
    report = exported(tmp_path) / "albedo" / "1" / "export.json"
    report.write_text(text)
    with pytest.raises(ServerError, match=f"{report} {sentence}"):
        derive_all(tmp_path, Machine(gpus=0))


def test_a_config_that_cannot_be_parsed_is_named(tmp_path: Path) -> None:
    file = tmp_path / "config.pbtxt"
    file.write_text('name: "albedo"\nbogus_field: 1\n')
    with pytest.raises(ServerError, match=r"config\.pbtxt cannot be read: 2:"):
        read_config(file)


@pytest.mark.parametrize("model", ENGINES)
def test_the_hand_written_engine_takes_every_batch_the_config_promises(model: str) -> None:
    config = production()[model]
    block = accelerator(config)
    assert block is not None
    assert block.parameters["trt_profile_min_shapes"] == shapes(config, 1)
    assert block.parameters["trt_profile_opt_shapes"] == block.parameters["trt_profile_max_shapes"]
    assert block.parameters["trt_profile_max_shapes"] == shapes(config, 16)
    assert sorted(warmup.batch_size for warmup in config.model_warmup) == [1, 16]


@pytest.mark.parametrize("model", ENGINES)
def test_another_largest_batch_gets_an_engine_of_its_own_shapes(model: str) -> None:
    derived = derive(production()[model], Machine(gpus=1, max_batch=4, native=True, engines=Path("/engines")))
    block = accelerator(derived)
    assert block is not None
    assert block.parameters["trt_profile_max_shapes"] == shapes(derived, 4)
    assert shapes(derived, 4).startswith(f"{derived.input[0].name}:4x3x")


def test_a_network_whose_inputs_vary_in_size_is_left_to_the_cuda_provider() -> None:
    for model in set(NETWORKS) - set(ENGINES):
        assert accelerator(production()[model]) is None
        with pytest.raises(ServerError, match="TensorRT is for networks of fixed sizes"):
            shapes(production()[model], 1)


def test_an_engine_is_kept_by_network_gpu_and_tensorrt(tmp_path: Path) -> None:
    report = exported(tmp_path) / "segment" / "1" / "export.json"
    kept = set()
    for weights in ("a" * 64, "b" * 64):
        report.write_text(json.dumps({"sha256": weights}))
        for tensorrt, gpu in (
            ("10.14.1", "NVIDIA H100 80GB HBM3"),
            ("10.14.1", "NVIDIA A100"),
            ("11.0", "NVIDIA A100"),
        ):
            engines = engines_of(Path("/engines"), tensorrt, gpu)
            derived = derive_all(tmp_path, Machine(gpus=1, native=True, engines=engines))["segment"]
            block = accelerator(derived)
            assert block is not None
            assert block.parameters["trt_engine_cache_path"] == block.parameters["trt_timing_cache_path"]
            kept.add(block.parameters["trt_engine_cache_path"])
    assert len(kept) == 6
    assert "/engines/tensorrt-10.14.1-NVIDIA-H100-80GB-HBM3/segment-aaaaaaaaaaaa" in kept


def test_without_engines_a_native_server_uses_the_cuda_provider_and_ragged_batches_are_ours_alone() -> None:
    for model in NETWORKS:
        derived = derive(production()[model], Machine(gpus=8, native=True))
        assert accelerator(derived) is None
        assert not any(tensor.allow_ragged_batch for tensor in derived.input)
        assert "FORCE_CPU_ONLY_INPUT_TENSORS" not in derived.parameters


def test_the_version_of_tensorrt_is_read_from_its_library(tmp_path: Path) -> None:
    assert tensorrt_version(tmp_path) is None
    for name in ("libnvinfer.so.10", "libnvinfer.so.10.14.1", "libnvinfer_plugin.so.10.14.1"):
        (tmp_path / name).touch()
    assert tensorrt_version(tmp_path) == "10.14.1"


def test_the_derive_command_prints_the_name_that_tritonserver_is_given(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    exported(tmp_path, "segment")
    assert main(["--repository", str(tmp_path), "--gpus", "0,2,5", "--native", "--engines", "/engines"]) == 0
    name = capsys.readouterr().out.strip()
    derived = read_config(tmp_path / "segment" / "configs" / f"{name}.pbtxt")
    assert [list(group.gpus) for group in derived.instance_group] == [[0], [1], [2]]
    assert derived.backend == "pytorch"
    with pytest.raises(SystemExit):
        main(["--repository", str(tmp_path), "--gpus", "two"])
