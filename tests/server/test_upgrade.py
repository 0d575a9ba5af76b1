"""Promises to who administers a server: networks are exchanged under load, no request fails; one can be traced."""

import hashlib
import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from tritonclient.grpc import service_pb2_grpc

from client.triton.request import MESSAGE_SIZES, photo_request, request_template, unpack
from server.access import Access
from server.command import MODEL_CONTROL
from server.derive import this_machine
from server.embedded import Options, RunningServer, embedded_server
from server.http_api import ask
from server.trace import main as print_trace
from server.trace import trace_flags
from server.upgrade import main
from tests.rig.lights import plain_light
from tests.rig.runs import recorded, relight, running, small_table, told, wait_for

KEY = "0123456789abcdef-the-key"
LIMIT_SECONDS = 60.0  # seconds; what is waited for takes under 5 on an idle machine
ROWS = 128  # one after the other they take longer than an exchange
CHANGING = "being exchanged"
Answer = tuple[str, str]  # the checksum that INFO has for the albedo network, and that of the albedo's file


@pytest.fixture(scope="module")
def served(plain_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server whose networks can be exchanged by who has the key."""
    models = tmp_path_factory.mktemp("upgrade") / "models"
    shutil.copytree(plain_repository, models, ignore=shutil.ignore_patterns("configs", "__pycache__"))
    log, access = models.parent / "triton.log", Access(admin_key=KEY)
    extra = (*MODEL_CONTROL, *trace_flags(models.parent / "trace.json"))
    machine = replace(this_machine(gpus=0), max_batch=1)  # no request waits for others
    options = Options(models, machine, "127.0.0.1", 0, 0, 0, log, access=access, extra=extra)
    with embedded_server(options) as server:
        yield server


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """A file with the server's key."""
    file = tmp_path / "key"
    file.write_text(KEY)
    return file


def exchange(server: RunningServer, key: Path) -> int:
    """The command that an administrator gives."""
    return main(["--url", server.http_url, "--admin-key-file", str(key)])


def install_darker(albedo: Path, version: int) -> str:
    """Put a network that gives half the albedo beside version 1; return its checksum."""
    model = onnx.load(albedo / "1" / "model.onnx")
    for node in model.graph.node:
        for names in (node.input, node.output):
            names[:] = ["BRIGHT" if name == "ALBEDO" else name for name in names]
    model.graph.initializer.append(numpy_helper.from_array(np.array(0.5, np.float16), "HALF"))
    model.graph.node.append(helper.make_node("Mul", ["BRIGHT", "HALF"], ["ALBEDO"]))
    content = model.SerializeToString()
    report = json.loads((albedo / "1" / "export.json").read_text())
    report["sha256"] = hashlib.sha256(content).hexdigest()
    folder = albedo / str(version)
    folder.mkdir()
    (folder / "model.onnx").write_bytes(content)
    (folder / "export.json").write_text(json.dumps(report))
    return str(report["sha256"])


class Load:
    """A client that asks one question again and again; every answer, and every failure."""

    def __init__(self, url: str, request: Any) -> None:
        self._url, self._request, self._ended = url, request, threading.Event()
        self.answers: list[Answer] = []
        self.failures: list[str] = []

    def ask(self) -> None:
        """Until the end of the block."""
        with grpc.insecure_channel(self._url, options=MESSAGE_SIZES) as channel:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            while not self._ended.is_set():
                try:
                    reply = unpack(stub.ModelInfer(self._request, timeout=LIMIT_SECONDS), {"albedo": 1})
                except grpc.RpcError as error:
                    self.failures.append(str(error))
                    return
                picture = hashlib.sha256(bytes(reply.pictures["albedo"][0])).hexdigest()
                self.answers.append((reply.info["models"]["albedo"]["sha256"], picture))

    def next(self, count: int = 2) -> Answer:
        """The last of the next few answers; those that were in flight are among them."""
        target = len(self.answers) + count
        wait_for(lambda: len(self.answers) >= target or bool(self.failures), LIMIT_SECONDS)
        assert self.failures == []
        return self.answers[-1]

    @contextmanager
    def lasting(self) -> Iterator[None]:
        """For as long as the block lasts."""
        thread = threading.Thread(target=self.ask)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()


@pytest.fixture
def load(served: RunningServer, tmp_path: Path) -> Load:
    small_table(tmp_path, "asked.jpg")
    template = request_template((0.0, 0.5), "albedo;png", ("albedo",))
    return Load(
        served.grpc_url, photo_request(template, (tmp_path / "asked.jpg").read_bytes(), "person", plain_light())
    )


def test_an_upgrade_and_a_rollback_under_load(served: RunningServer, load: Load, key: Path, tmp_path: Path) -> None:
    albedo = served.repository / "albedo"
    table, output = small_table(tmp_path, *(f"{number}.jpg" for number in range(ROWS))), tmp_path / "out"
    with load.lasting(), running(served.grpc_url, table, output, "--window", "1") as run:
        old = load.next()
        wait_for(lambda: len(recorded(output)) > 0, LIMIT_SECONDS)
        checksum = install_darker(albedo, 2)
        assert exchange(served, key) == 0
        new = load.next()
        assert run.wait(LIMIT_SECONDS) == 2, "a data set is made by one set of networks"
        assert f"{old[0][:8]}" in told(output)
        assert f"→ {CHANGING}" in told(output)

        (albedo / "2").rename(albedo / "withdrawn-2")
        assert exchange(served, key) == 0
        assert load.next() == old
    shutil.rmtree(albedo / "withdrawn-2")
    assert new[0] == checksum != old[0]
    assert new[1] != old[1]
    assert load.failures == []
    assert set(load.answers) <= {old, new, (CHANGING, old[1]), (CHANGING, new[1])}
    assert relight(served, table, output) == 0, "after the rollback the same command resumes"
    made_by = {json.loads(file.read_text())["models"]["albedo"]["sha256"] for file in output.rglob("*metadata.json")}
    assert (len(set(recorded(output))), made_by) == (ROWS, {old[0]})


def test_a_version_that_does_not_load_leaves_the_former_one_serving(
    served: RunningServer, load: Load, key: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = served.repository / "albedo" / "2"
    with load.lasting():
        old = load.next()
        shutil.copytree(broken.with_name("1"), broken)
        (broken / "model.onnx").write_bytes(b"garbage")
        assert exchange(served, key) == 1
        assert load.next() == (CHANGING, old[1]), "what serves is not what the newest folder says"
        shutil.rmtree(broken)
        assert exchange(served, key) == 0
        assert load.next() == old
    said = capsys.readouterr()
    assert "albedo cannot be exchanged (load failed for model 'albedo': version 2" in said.err
    assert "Protobuf parsing failed" in said.err
    assert "Take the newest folder of albedo away" in said.err
    assert "Serves segment 1, albedo 1, shadow 1, recombine 1" in said.out


def test_one_request_is_traced_when_somebody_asks(
    served: RunningServer, load: Load, capsys: pytest.CaptureFixture[str]
) -> None:
    file = served.repository.parent / "trace.json.0"
    assert print_trace([str(file)]) == 1, "none is traced before"
    once = b'{"trace_level":["TIMESTAMPS"],"trace_count":"1"}'
    ask(served.http_url, "/v2/trace/setting", once, headers={"admin-key": KEY}, timeout=10)
    with load.lasting():
        wait_for(lambda: file.exists() and file.read_text().endswith("]"), LIMIT_SECONDS)
    assert print_trace([str(file)]) == 0
    said = capsys.readouterr()
    assert f"{file} cannot be read (No such file or directory): is tracing on" in said.err
    lines = [line.split() for line in said.out.splitlines()[1:]]
    assert [name for name, *_ in lines[:2]] == ["relight", "decode"]
    assert {name for name, *_ in lines} == {"relight", "decode", "segment", "albedo", "shadow", "recombine", "encode"}
    assert all(float(begins) >= 0.0 and float(takes) > 0.0 for _, begins, _, _, takes in lines)


def test_who_has_no_key_exchanges_nothing(served: RunningServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--url", served.http_url]) == 1
    assert f"The server at {served.http_url} refuses" in capsys.readouterr().err


def test_a_server_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--url", "127.0.0.1:1"]) == 1
    assert "no server answers at 127.0.0.1:1" in capsys.readouterr().err
