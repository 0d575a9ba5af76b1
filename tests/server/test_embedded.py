"""How the embedded server starts, why it does not, and that nothing is left of it at the end."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

import psutil
import pytest
from tritonclient.grpc import InferenceServerClient

from export.files import torchscript_file
from export.files.repository import lay_out
from export.networks.retinex import Retinex
from export.tensors import read_contract
from server.command import unload_seconds
from server.derive import Machine, write_derived
from server.probe import answers_inference
from tests.rig.places import ROOT

SHARED_MEMORY = Path("/dev/shm")
FREE_PORTS = ("--grpc-port", "0", "--http-port", "0", "--metrics-port", "0")
WAIT_SECONDS = 60.0  # for what takes under 5 on an idle machine


@dataclass
class Command:
    """`python -m server` in a process of its own, and what it has said."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def said(self) -> str:
        return self.log.read_text()

    @property
    def ports(self) -> list[int]:
        """The gRPC, HTTP and metrics ports that it printed."""
        return [int(port) for port in re.findall(r"127\.0\.0\.1:(\d+)", self.said)]

    @property
    def shared_memory(self) -> list[Path]:
        return list(SHARED_MEMORY.glob(f"relight_{self.process.pid}_*"))

    def triton(self) -> int:
        """The process id of tritonserver, which is also the id of its group."""
        (child,) = psutil.Process(self.process.pid).children()
        return child.pid


@contextmanager
def command(folder: Path, *arguments: str | Path) -> Iterator[Command]:
    """Run `python -m server`; what it leaves alive when the test is over is killed."""
    log = folder / "output.txt"
    with log.open("wb") as file:
        line = [sys.executable, "-m", "server", *map(str, arguments)]
        process = subprocess.Popen(line, cwd=ROOT, stdout=file, stderr=subprocess.STDOUT)
    try:
        yield Command(process, log)
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(WAIT_SECONDS)


@contextmanager
def serving(folder: Path, repository: Path) -> Iterator[Command]:
    """`python -m server` on free ports, once it says that it serves."""
    with command(folder, "--repository", repository, "--log", folder / "triton.log", *FREE_PORTS) as server:
        wait_for(lambda: "Ctrl-C stops it." in server.said or server.process.poll() is not None)
        assert server.process.poll() is None, server.said
        yield server


def wait_for(condition: Callable[[], bool], seconds: float = WAIT_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not so within {seconds:g} s"
        time.sleep(0.05)


def leavings(server: Command, group: int) -> list[str]:
    """What there is of a server: the command lines of its group's living processes and its shared memory."""
    found = [str(region) for region in server.shared_memory]
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, ProcessLookupError):  # it ended meanwhile
            if os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE:
                found.append(" ".join(process.cmdline()))
    return found


def ended_pid() -> int:
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


@pytest.fixture
def regions() -> Iterator[list[Path]]:
    """Shared memory of a server that has ended and of one that lives."""
    files = [SHARED_MEMORY / f"relight_{pid}_x_1" for pid in (ended_pid(), os.getpid())]
    for file in files:
        file.touch()
    yield files
    for file in files:
        file.unlink(missing_ok=True)


def test_it_serves_on_this_machine_only_until_ctrl_c(repository: Path, tmp_path: Path, regions: list[Path]) -> None:
    with serving(tmp_path, repository) as server:
        assert [region.exists() for region in regions] == [False, True]  # swept at the start, and not swept
        assert f"Log: {tmp_path / 'triton.log'}" in server.said
        assert "Started GRPCInferenceService" in (tmp_path / "triton.log").read_text()
        grpc, http, metrics = server.ports
        assert answers_inference(f"127.0.0.1:{http}", WAIT_SECONDS)
        for port in (grpc, http, metrics):
            socket.create_connection(("127.0.0.1", port)).close()
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.2", port))
        group = server.triton()
        assert len(leavings(server, group)) > 8  # tritonserver, a process for each instance, their shared memory

        with ExitStack() as clients:  # which stay connected
            clients.enter_context(closing(HTTPConnection("127.0.0.1", metrics))).request("GET", "/metrics")
            assert clients.enter_context(InferenceServerClient(f"127.0.0.1:{grpc}")).is_server_live()
            server.process.send_signal(signal.SIGINT)
            assert server.process.wait(WAIT_SECONDS) == 0
        assert leavings(server, group) == []
        log = (tmp_path / "triton.log").read_text()
        assert re.search(r"Timeout \d+: Found 0 live models and 0 in-flight", log)
        assert "failed to stop server" not in log  # "Exit timeout expired. Exiting immediately."


def test_it_has_time_for_the_end_of_every_instance_which_end_one_after_the_other(tmp_path: Path) -> None:
    lay_out(tmp_path)
    for machine, instances in ((Machine(gpus=0, processes=12), 12), (Machine(gpus=8, processes=4), 8)):
        assert unload_seconds(tmp_path, write_derived(tmp_path, machine)) == 2 * instances


def test_sigterm_stops_it_too_and_a_second_signal_changes_nothing(repository: Path, tmp_path: Path) -> None:
    with serving(tmp_path, repository) as server:
        group = server.triton()
        server.process.terminate()
        wait_for(lambda: "Waiting for in-flight requests" in (tmp_path / "triton.log").read_text())
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(WAIT_SECONDS) == 0
        assert leavings(server, group) == []
        assert "Traceback" not in server.said


def test_a_stop_while_models_load_leaves_nothing_either(repository: Path, tmp_path: Path) -> None:
    with command(tmp_path, "--repository", repository, *FREE_PORTS) as server:
        wait_for(lambda: len(server.shared_memory) > 2)  # one for each model that has begun
        group = server.triton()
        server.process.terminate()
        assert server.process.wait(WAIT_SECONDS) == 0
        assert leavings(server, group) == []
        assert "Traceback" not in server.said


def test_nothing_survives_it_when_it_is_killed(repository: Path, tmp_path: Path) -> None:
    with serving(tmp_path, repository) as server:
        group = server.triton()
        server.process.kill()
        server.process.wait()
        wait_for(lambda: leavings(server, group) == [], 30.0)


def test_models_that_fail_to_load_are_named_with_the_reason(repository: Path, tmp_path: Path) -> None:
    models = tmp_path / "models"
    shutil.copytree(repository, models, ignore=shutil.ignore_patterns("configs", "__pycache__"))
    (models / "segment" / "1" / "model.onnx").write_bytes(b"garbage")
    (models / "albedo" / "1" / "model.onnx").unlink()
    shutil.copy(repository / "albedo" / "1" / "model.onnx", models / "shadow" / "1")
    with command(tmp_path, "--repository", models, "--log", tmp_path / "triton.log", *FREE_PORTS) as server:
        assert server.process.wait(WAIT_SECONDS) == 1
    reasons = dict(re.findall(r"^Model `(\w+)` failed to load: (.+)$", server.said, re.MULTILINE))
    assert reasons.keys() == {"segment", "albedo", "shadow"}
    assert "Protobuf parsing failed" in reasons["segment"]
    assert f"{models}/albedo/1/model.onnx is missing: export the networks first" in reasons["albedo"]
    assert "model.onnx has the inputs ['ALBEDO_PIXELS'], config.pbtxt says ['ALPHA'" in reasons["shadow"]
    assert f"Triton's log: {tmp_path / 'triton.log'}" in server.said
    assert server.shared_memory == []


def test_torchscript_models_that_fail_to_load_are_named_with_the_reason(repository: Path, tmp_path: Path) -> None:
    models = tmp_path / "models"
    shutil.copytree(repository, models, ignore=shutil.ignore_patterns("configs", "__pycache__"))
    for name in ("segment", "albedo", "shadow"):
        (models / name / "1" / "export.json").write_text('{"format": "torchscript"}')
    (models / "segment" / "1" / "model.pt").write_bytes(b"garbage")
    torchscript_file.write(Retinex(), read_contract("albedo"), models / "shadow" / "1")
    with command(tmp_path, "--repository", models, *FREE_PORTS) as server:
        assert server.process.wait(WAIT_SECONDS) == 1
    reasons = dict(re.findall(r"^Model `(\w+)` failed to load: (.+)$", server.said, re.MULTILINE))
    assert reasons.keys() == {"segment", "albedo", "shadow"}
    assert f"{models}/segment/1/model.pt cannot be read" in reasons["segment"]
    assert f"{models}/albedo/1/model.pt is missing: export the networks first" in reasons["albedo"]
    assert "model.pt has the inputs ['albedo_pixels'], the config says ['SHADOW_PIXELS__0'" in reasons["shadow"]


def test_an_ensemble_that_does_not_fit_is_explained_by_that_alone(repository: Path, tmp_path: Path) -> None:
    models = tmp_path / "models"
    shutil.copytree(repository, models, ignore=shutil.ignore_patterns("configs", "__pycache__"))
    ensemble = models / "relight" / "config.pbtxt"
    ensemble.write_text(
        ensemble.read_text().replace('{ key: "ALPHA" value: "ALPHA_MAP" }', '{ key: "A" value: "ALPHA_MAP" }')
    )
    with command(tmp_path, "--repository", models, *FREE_PORTS) as server:
        assert server.process.wait(WAIT_SECONDS) == 1
    assert server.said.startswith("Triton did not start: in ensemble relight, ")
    assert "CudaDriverHelper" not in server.said


def test_a_start_that_takes_too_long_ends_with_the_remedy(repository: Path, tmp_path: Path) -> None:
    with command(tmp_path, "--repository", repository, "--start-timeout", "0.5", *FREE_PORTS) as server:
        assert server.process.wait(WAIT_SECONDS) == 1
    assert "did not answer within 0.5 s; --start-timeout gives it longer" in server.said
    assert server.shared_memory == []


def test_a_start_timeout_is_a_number_of_seconds(tmp_path: Path) -> None:
    with command(tmp_path, "--start-timeout", "0") as server:
        assert server.process.wait(WAIT_SECONDS) == 2
    assert "--start-timeout is a number of seconds, not 0" in server.said


@pytest.mark.parametrize("options", [["--grpc-port"], ["--http-port"], ["--metrics-port"]], ids=" ".join)
def test_a_taken_port_is_named_with_the_remedy(repository: Path, tmp_path: Path, options: list[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        refuses_port(tmp_path, repository, taken.getsockname()[1], *options)


def test_one_port_is_not_given_to_two_services(repository: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free_in_a_moment:
        port = free_in_a_moment.getsockname()[1]
    refuses_port(tmp_path, repository, port, "--http-port", "--metrics-port")


def refuses_port(folder: Path, repository: Path, port: int, *options: str) -> None:
    """Expect that a server which is to use `port` for each of `options` says that it cannot and what to do."""
    chosen = [text for option in options for text in (option, str(port))]
    with command(folder, "--repository", repository, *FREE_PORTS, *chosen) as server:
        assert server.process.wait(WAIT_SECONDS) == 1
    assert f"Port {port} on 127.0.0.1 cannot be used (Address already in use)" in server.said
    assert "choose another with --grpc-port, --http-port or --metrics-port" in server.said
    assert "Traceback" not in server.said


def test_a_folder_without_models_is_refused_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name, sentence in (("nowhere", "There is no model repository"), ("empty", "write it with `python -m export`")):
        with command(tmp_path, "--repository", tmp_path / name, *FREE_PORTS) as server:
            assert server.process.wait(WAIT_SECONDS) == 1
        assert str(tmp_path / name) in server.said
        assert sentence in server.said
