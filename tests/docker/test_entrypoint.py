"""What the containers run: settings, Triton's command line, access, engines, health and the one-shot export."""

import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from contract.names import NETWORKS
from docker.entrypoint import command_line, fit_machine, read_settings
from docker.export_once import DONE, is_built
from docker.health import fault
from docker.layout import lay_out
from docker.secrets import check_exposure, read_access
from docker.served import announce, fingerprint, verified
from docker.verify import describe_server, wait_until_ready
from server.access import ADMINISTRATION, Access
from server.derive import Machine, write_derived
from server.embedded import RunningServer
from server.gpus import Gpu, host_policies
from server.installation import ServerError, environment, find_installation

H100 = Gpu("0", "GPU-a", "0000:1b:00.0", "NVIDIA H100")
KEY = "k" * 32
OPEN = Access()


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"GPUS": "many"}, "'many' names no GPUs"),
        ({"CUDA_POOL": "1GB"}, "1GB"),
        ({"ENGINES": "trt"}, "tensorrt or cuda"),
    ],
)
def test_settings_that_cannot_be_read_are_named(given: dict[str, str], reason: str) -> None:
    with pytest.raises(ServerError, match=reason):
        read_settings(given)


def command(access: Access = OPEN, gpus: int = 2) -> list[str]:
    return command_line(read_settings({}), access, "gpu2", [H100] * gpus)


def test_administration_is_closed_whatever_is_set() -> None:
    for access in (OPEN, Access(api_key=KEY), Access(tls_cert=Path("c"), tls_key=Path("k"))):
        for flag in ("--grpc-restricted-protocol", "--http-restricted-api"):
            keys = [line for line in command(access) if line.startswith(f"{flag}={ADMINISTRATION}:admin-key=")]
            assert len(keys) == 1
            assert len(keys[0].rpartition("=")[2]) >= 32
    assert command() != command()  # a key that nobody knows
    assert {"model-repository", "shared-memory", "logging", "trace"} <= set(ADMINISTRATION.split(","))


def test_each_gpu_gets_a_pool_and_a_server_without_gets_none() -> None:
    pools = [f"--cuda-memory-pool-byte-size={gpu}:{1 << 30}" for gpu in range(2)]
    assert [flag for flag in command() if "cuda-memory-pool" in flag] == pools
    assert not [flag for flag in command(gpus=0) if "cuda" in flag]


def test_tritonserver_knows_every_flag(tmp_path: Path) -> None:
    installation = find_installation()
    done = subprocess.run(
        [installation.binary, "--help"], env=environment(installation), capture_output=True, text=True
    )
    known = set(re.findall(r"--[a-z][a-z0-9-]+", done.stdout + done.stderr))
    for node in range(2):
        (tmp_path / f"node{node}").mkdir()
        (tmp_path / f"node{node}" / "cpulist").write_text("0-3")
    (tmp_path / H100.bus).mkdir()
    (tmp_path / H100.bus / "numa_node").write_text("1")
    policies = host_policies([H100], tmp_path, tmp_path)
    assert policies
    access = Access(tls_cert=Path("c"), tls_key=Path("k"), tls_ca=Path("a"), api_key=KEY, admin_key=KEY)
    assert {flag.partition("=")[0] for flag in [*command(access)[1:], *policies]} <= known


def test_the_server_does_not_open_without_tls_and_a_key(tmp_path: Path) -> None:
    (tmp_path / "api-key").write_text(KEY)
    access = read_access(tmp_path)
    check_exposure(access, "127.0.0.1")
    with pytest.raises(ServerError, match=r"0\.0\.0\.0 opens .* put server\.pem and server\.key into the folder"):
        check_exposure(access, "0.0.0.0")
    check_exposure(replace(access, tls_cert=Path("c"), tls_key=Path("k")), "0.0.0.0")


def test_a_weak_key_is_refused(tmp_path: Path) -> None:
    (tmp_path / "admin-key").write_text("admin")
    with pytest.raises(ServerError, match=r"administrators' key .* at least 16 letters"):
        read_access(tmp_path)


def test_verification_shows_what_the_server_asks_for(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").touch()
    plain = describe_server(OPEN, "triton:8001", tmp_path)
    assert (plain.tls, plain.headers) == (False, {})
    closed = describe_server(Access(tls_cert=Path("c"), tls_key=Path("k"), api_key=KEY), "triton:8001", tmp_path)
    assert (closed.tls, closed.ca) == (True, tmp_path / "ca.pem")
    assert closed.headers == {"triton-grpc-protocol-api-key": KEY}


def test_verification_waits_for_a_server_that_is_ready_and_says_why_it_gave_up(
    server: RunningServer, capsys: pytest.CaptureFixture[str]
) -> None:
    wait_until_ready(describe_server(OPEN, server.grpc_url), timeout=60.0)
    with pytest.raises(ServerError, match=r"127\.0\.0\.1:9 was not ready within 0\.1 s: .*refused"):
        wait_until_ready(describe_server(OPEN, "127.0.0.1:9"), timeout=0.1)
    assert "Waiting for 127.0.0.1:9" in capsys.readouterr().out


def test_engines_are_for_nvidias_backends_on_gpus_of_one_kind(capsys: pytest.CaptureFixture[str]) -> None:
    both = [H100, replace(H100, number="1")]
    machine = fit_machine(read_settings({}), both, native=True, tensorrt="10.14.1")
    assert machine.engines == Path("/engines/tensorrt-10.14.1-NVIDIA-H100")
    assert fit_machine(read_settings({"ENGINES": "cuda"}), both, native=True, tensorrt="10.14.1").engines is None
    assert fit_machine(read_settings({}), both, native=False, tensorrt="10.14.1").engines is None
    assert not capsys.readouterr().out
    mixed = [H100, replace(H100, name="NVIDIA A100")]
    assert fit_machine(read_settings({}), mixed, native=True, tensorrt="10.14.1").engines is None
    assert "the GPUs differ (NVIDIA A100, NVIDIA H100)" in capsys.readouterr().out
    assert fit_machine(read_settings({}), both, native=True, tensorrt=None).engines is None
    assert "there is no libnvinfer" in capsys.readouterr().out


def test_the_service_is_healthy_once_it_answers_and_what_it_serves_was_verified(
    server: RunningServer, tmp_path: Path
) -> None:
    name = write_derived(server.repository, Machine(gpus=0))
    served = fingerprint(server.repository, name, [], None)
    assert "No such file" in str(fault(server.http_url, tmp_path, tmp_path))
    announce(served, tmp_path)
    assert "not verified yet" in str(fault(server.http_url, tmp_path, tmp_path))
    verified(served, tmp_path).touch()
    assert fault(server.http_url, tmp_path, tmp_path) is None
    announce(fingerprint(server.repository, name, [H100], "10.14.1"), tmp_path)
    assert "not verified yet" in str(fault(server.http_url, tmp_path, tmp_path))
    assert "not ready" in str(fault("127.0.0.1:9", tmp_path, tmp_path))


def test_the_repository_is_exported_once_for_the_same_options(tmp_path: Path) -> None:
    assert not is_built(tmp_path, "--preset classical")
    (tmp_path / DONE).write_text("--preset classical")
    assert not is_built(tmp_path, "--preset classical")  # a network is missing
    for network in NETWORKS:
        (tmp_path / network / "1").mkdir(parents=True)
        (tmp_path / network / "1" / "export.json").touch()
    assert is_built(tmp_path, "--preset classical")
    assert not is_built(tmp_path, "--preset full")


def test_the_wheels_triton_is_laid_out_as_nvidias_image_has_it(tmp_path: Path) -> None:
    lay_out(tmp_path / "tritonserver")
    assert (tmp_path / "tritonserver" / "bin" / "tritonserver").exists()
    assert list((tmp_path / "tritonserver" / "lib").glob("*.so*"))
    for backend in ("python", "onnxruntime", "pytorch"):
        assert list((tmp_path / "tritonserver" / "backends" / backend).iterdir())
