"""Promises of a server that others can reach: it is encrypted, asks for a key, and nobody else administers it."""

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import grpc
import onnxruntime
import pytest
import trustme
from tritonclient.grpc import service_pb2, service_pb2_grpc

from benchmarks.rig.processes import tree_of
from client import RelightError
from client import relight as relight_photo
from server.__main__ import describe_access
from server.access import Access, access_flags, check_tls, read_key
from server.derive import this_machine
from server.embedded import Options, RunningServer
from server.http_api import RefusedError, ask
from server.installation import ServerError
from server.probe import answers_inference
from tests.rig.places import ROOT, SAMPLES
from tests.rig.runs import lines, relight

KEY = "0123456789abcdef-the-key"
FREE_PORTS = ("--grpc-port", "0", "--http-port", "0", "--metrics-port", "0")
SERVES = re.compile(r"gRPC \S+:(?P<grpc>\d+) · HTTP (?P<http>\S+) · metrics (?P<metrics>\S+)/metrics")


@dataclass(frozen=True)
class Locked:
    """A server on all addresses, with TLS and a key: where it is, and what it has said."""

    grpc_url: str
    http_url: str
    metrics_url: str
    said: str


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with server-ca.pem, which signs server.pem with server.key; the same of `other`; a key; a text."""
    folder = tmp_path_factory.mktemp("pki")
    for name, authority in (("server", trustme.CA()), ("other", trustme.CA())):
        issued = authority.issue_cert("localhost")
        issued.private_key_pem.write_to_path(folder / f"{name}.key")
        issued.cert_chain_pems[0].write_to_path(folder / f"{name}.pem")
        authority.cert_pem.write_to_path(folder / f"{name}-ca.pem")
    (folder / "text").write_text("neither a certificate nor one key")
    (folder / "key").write_text(f"{KEY}\n")
    return folder


@contextmanager
def command(*options: str | Path) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """`python -m server` and what it has said until it serves or ends."""
    line = [sys.executable, "-m", "server", *FREE_PORTS, *map(str, options)]
    process = subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    said = ""
    try:
        for text in process.stdout:
            said += text
            if "Ctrl-C stops it." in text:
                break
        yield process, said
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


@pytest.fixture(scope="module")
def locked(repository: Path, pki: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Locked]:
    tls = ("--tls-cert", pki / "server.pem", "--tls-key", pki / "server.key")
    log = tmp_path_factory.mktemp("locked") / "triton.log"
    with command("--host", "0.0.0.0", *tls, "--api-key-file", pki / "key", "--log", log) as (_, said):
        place = SERVES.search(said)
        assert place, said
        yield Locked(f"localhost:{place['grpc']}", place["http"], place["metrics"], said)


def options(pki: Path, ca: str = "server-ca.pem", key: str = KEY) -> list[str]:
    """What the client's command gives to get in."""
    return ["--tls", "--ca", str(pki / ca), "--header", f"triton-grpc-protocol-api-key:{key}", "--limit", "1"]


def test_the_clients_command_gets_in_with_the_authority_and_the_key(locked: Locked, pki: Path, tmp_path: Path) -> None:
    assert relight(locked, SAMPLES / "samples.csv", tmp_path, *options(pki)) == 0
    (row,) = lines(tmp_path / "samples.csv")
    assert (tmp_path / row["output_image_path"]).exists()


def test_the_python_api_gets_in_with_the_same(locked: Locked, pki: Path) -> None:
    photo, headers = SAMPLES / "astronaut.png", {"triton-grpc-protocol-api-key": KEY}
    access: dict[str, Any] = {"url": locked.grpc_url, "ca": pki / "server-ca.pem"}
    assert relight_photo(photo, **access, headers=headers).output.shape[0] == 1
    for arguments, sentence in (
        ({**access, "ca": pki / "other-ca.pem", "headers": headers}, "CERTIFICATE_VERIFY_FAILED"),
        (access, "refuses access"),
        ({"url": locked.grpc_url}, "needs --tls"),
    ):
        with pytest.raises(RelightError, match=sentence):
            relight_photo(photo, **arguments)


def test_it_says_what_clients_must_give_and_keeps_the_key_to_itself(locked: Locked) -> None:
    assert "Clients give --tls, --header triton-grpc-protocol-api-key:KEY." in locked.said
    assert KEY not in locked.said
    assert KEY not in repr(Access(api_key=KEY, admin_key=KEY))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"ca": "other-ca.pem"}, "CERTIFICATE_VERIFY_FAILED"),
        ({"key": "0123456789abcdef-wrong"}, "refuses access"),
    ],
    ids=["another authority", "another key"],
)
def test_who_has_the_wrong_one_is_refused(
    locked: Locked,
    pki: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    change: dict[str, str],
    sentence: str,
) -> None:
    code = relight(locked, SAMPLES / "samples.csv", tmp_path, *options(pki, **change))
    assert (code, list(tmp_path.rglob("*.png"))) == (3, [])
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize("given", [[], ["--tls"]], ids=["without TLS", "without a key"])
def test_who_has_none_is_refused(
    locked: Locked, pki: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], given: list[str]
) -> None:
    ca = ["--ca", str(pki / "server-ca.pem")] if given else []
    assert relight(locked, SAMPLES / "samples.csv", tmp_path, *given, *ca) == 3
    assert ("see --header" if given else "needs --tls") in capsys.readouterr().err


ADMINISTRATION: dict[str, tuple[str, Any]] = {
    "RepositoryIndex": ("/v2/repository/index", service_pb2.RepositoryIndexRequest()),
    "RepositoryModelLoad": (
        "/v2/repository/models/albedo/load",
        service_pb2.RepositoryModelLoadRequest(model_name="albedo"),
    ),
    "RepositoryModelUnload": (
        "/v2/repository/models/albedo/unload",
        service_pb2.RepositoryModelUnloadRequest(model_name="albedo"),
    ),
    "SystemSharedMemoryRegister": (
        "/v2/systemsharedmemory/region/a/register",
        service_pb2.SystemSharedMemoryRegisterRequest(name="a", key="/a", byte_size=1),
    ),
    "CudaSharedMemoryRegister": (
        "/v2/cudasharedmemory/region/a/register",
        service_pb2.CudaSharedMemoryRegisterRequest(name="a", byte_size=1),
    ),
    "LogSettings": ("/v2/logging", service_pb2.LogSettingsRequest()),
    "TraceSetting": ("/v2/trace/setting", service_pb2.TraceSettingRequest()),
}


@pytest.mark.parametrize("method", ADMINISTRATION)
def test_administration_is_closed_to_all_even_with_the_key_of_inference(locked: Locked, pki: Path, method: str) -> None:
    path, request = ADMINISTRATION[method]
    credentials = grpc.ssl_channel_credentials((pki / "server-ca.pem").read_bytes())
    with grpc.secure_channel(locked.grpc_url, credentials) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        keys = (("triton-grpc-protocol-api-key", KEY), ("triton-grpc-protocol-admin-key", KEY))
        with pytest.raises(grpc.RpcError, match="protocol is restricted"):
            getattr(stub, method)(request, metadata=keys, timeout=10)
    with pytest.raises(RefusedError, match="API is restricted"):
        ask(locked.http_url, path, b"{}", headers={"api-key": KEY, "admin-key": KEY}, timeout=10)


def test_what_cannot_be_encrypted_stays_on_the_machine_and_asks_for_the_key_too(locked: Locked) -> None:
    socket.create_connection(("127.0.0.2", int(locked.grpc_url.partition(":")[2]))).close()
    for url in (locked.http_url, locked.metrics_url):
        host, _, port = url.partition(":")
        socket.create_connection((host, int(port))).close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.2", int(port)))
    assert answers_inference(locked.http_url, 30.0, {"api-key": KEY})
    with pytest.raises(RefusedError, match="API is restricted"):
        answers_inference(locked.http_url, 30.0)


def test_an_open_server_says_that_anyone_can_use_it(pki: Path) -> None:
    server = Options(pki, this_machine(gpus=0), host="0.0.0.0")
    assert "--tls-cert, --tls-key and --api-key-file restrict it" in describe_access(server)
    assert describe_access(replace(server, host="127.0.0.1")) == ""


def test_administration_is_open_to_the_machine_alone() -> None:
    flags = access_flags(Access(), "0.0.0.0")
    assert [flag.partition(":")[0] for flag in flags] == [
        "--grpc-restricted-protocol=model-repository,shared-memory,logging,trace",
        "--http-restricted-api=model-repository,shared-memory,logging,trace",
    ]
    assert access_flags(Access(), "0.0.0.0") != flags, "the key that closes is another one at each start"
    assert access_flags(Access(), "127.0.0.1") == access_flags(Access(), "localhost") == []


def test_clients_are_asked_for_certificates_where_an_authority_for_them_is_named(pki: Path) -> None:
    access = Access(pki / "server.pem", pki / "server.key", pki / "other-ca.pem")
    assert access_flags(access, "127.0.0.1") == [
        "--grpc-use-ssl-mutual=true",
        f"--grpc-server-cert={pki / 'server.pem'}",
        f"--grpc-server-key={pki / 'server.key'}",
        f"--grpc-root-cert={pki / 'other-ca.pem'}",
    ]


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        (("server.pem", None, None), "--tls-cert and --tls-key belong together"),
        ((None, None, "server-ca.pem"), "--tls-ca asks clients for certificates, which needs TLS"),
        (("none", "server.key", None), r"--tls-cert .*none cannot be read \(No such file"),
        (("server.pem", "other.key", None), "do not belong together"),
        (("text", "server.key", None), "are not PEM files"),
        (("server.pem", "server.key", "text"), "--tls-ca .*text holds no certificate in PEM form"),
    ],
)
def test_what_is_wrong_with_a_tls_file_is_said(pki: Path, files: tuple[str | None, ...], sentence: str) -> None:
    cert, key, authorities = (None if name is None else pki / name for name in files)
    with pytest.raises(ServerError, match=sentence):
        check_tls(Access(cert, key, authorities))


def test_what_is_wrong_with_a_key_is_said_without_it(pki: Path, tmp_path: Path) -> None:
    assert read_key("--api-key-file", pki / "key") == KEY
    assert read_key("--api-key-file", None) is None
    (tmp_path / "short").write_text("secret")
    with pytest.raises(ServerError, match=r"must hold one key of at least 16 .*openssl rand") as refused:
        read_key("--api-key-file", tmp_path / "short")
    assert "secret" not in str(refused.value)
    with command("--api-key-file", tmp_path / "none") as (process, said):
        assert (process.wait(), said.strip()) == (
            1,
            f"--api-key-file {tmp_path / 'none'} cannot be read (No such file or directory).",
        )


def open_files(pid: int) -> list[str]:
    """What a process has open."""
    names = []
    for file in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            names.append(str(file.readlink()))
    return names


def test_onnx_runtime_reports_to_nobody(server: RunningServer) -> None:
    """It keeps its reports in a database until they are sent; the networks' processes, and ours, have none open."""
    assert onnxruntime.get_available_providers()
    triton = [process.pid for process in tree_of(server.process.pid)]
    assert len(triton) > 6
    opened = [name for pid in (os.getpid(), *triton) for name in open_files(pid)]
    assert opened
    assert not [name for name in opened if "onnxruntime.db" in name]
