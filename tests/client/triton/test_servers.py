"""Promises of the sender: several real servers, one that joins late, dies or hangs, TLS and headers; no row is lost."""

import asyncio
import contextlib
import os
import re
import socket
import subprocess
import urllib.request
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Protocol, TypeVar

import pytest
from tritonclient.grpc import InferenceServerClient

from client import Relighter, RelightError
from client.errors import PassingError, RowError, StoppedError, UnreachableError
from client.triton.connection import find_addresses
from client.triton.credentials import parse_header, read_tls
from client.triton.request import photo_request, request_template, unpack
from client.triton.servers import Servers
from contract.names import ENSEMBLE
from server.command import MODEL_CONTROL
from server.embedded import claim_ports
from tests.client.triton.bare_server import bare_server
from tests.rig.lights import plain_light
from tests.rig.places import SAMPLES

PHOTO = (SAMPLES / "grace_hopper.jpg").read_bytes()
T = TypeVar("T")


class Running(Protocol):
    """What the `server` fixture gives: addresses of a running Triton."""

    grpc_url: str
    metrics_url: str


def request(image: bytes = PHOTO) -> Any:
    return photo_request(request_template((0.5, 0.5), "mask;png", ("mask",)), image, "person", plain_light())


def use(action: Callable[[Servers], Awaitable[T]], *urls: str, timeout: float = 60, **options: Any) -> T:
    """What `action` makes of the servers at `urls`, in an event loop of their own."""

    async def run() -> T:
        servers = Servers(urls, timeout=timeout, **options)
        try:
            return await action(servers)
        finally:
            await servers.close()

    return asyncio.run(run())


async def ask(servers: Servers) -> int:
    """Send one photo to any server; the mask's size in bytes."""
    await servers.find(wait=60)
    return await mask_size(servers)


async def mask_size(servers: Servers) -> int:
    (mask,) = unpack(await servers.send(request()), {"mask": 1}).pictures["mask"]
    return len(mask)


@pytest.mark.parametrize(
    ("places", "targets"),
    [
        (["10.0.0.2", "10.0.0.1", "10.0.0.1"], ["ipv4:10.0.0.1:8001", "ipv4:10.0.0.2:8001"]),
        (["::1", "127.0.0.1"], ["pool:8001"]),
        (["::1", "::2"], ["ipv6:[::1]:8001", "ipv6:[::2]:8001"]),
    ],
)
def test_a_name_with_several_addresses_is_several_servers(
    monkeypatch: pytest.MonkeyPatch, places: list[str], targets: list[str]
) -> None:
    def resolve(host: str, port: str, **_: object) -> list[tuple[Any, ...]]:
        kinds = [socket.AF_INET6 if ":" in place else socket.AF_INET for place in places]
        return [(kind, 1, 6, "", (place, int(port))) for kind, place in zip(kinds, places, strict=True)]

    monkeypatch.setattr(socket, "getaddrinfo", lambda host, port, *args, **options: resolve(host, port))
    assert [address.target for address in asyncio.run(find_addresses("pool:8001"))] == targets


def test_what_nobody_answers_is_said_with_the_remedy() -> None:
    (port,) = claim_ports("127.0.0.1", 0, 0, 0)[:1]
    with pytest.raises(UnreachableError, match=rf"no server answers at localhost:{port} .*refused.*--wait-for-server"):
        use(ask_now, f"localhost:{port}")
    with pytest.raises(UnreachableError, match=r"the host name nowhere.invalid .* is not known .*check its spelling"):
        use(ask_now, "nowhere.invalid:8001")


async def ask_now(servers: Servers) -> int:
    await servers.find(wait=0)
    return await mask_size(servers)


def test_a_photo_that_is_refused_is_not_sent_again(server: Running) -> None:
    def executions() -> int:
        with InferenceServerClient(server.grpc_url) as client:
            return int(client.get_inference_statistics("decode").model_stats[0].execution_count)

    async def refuse(servers: Servers) -> None:
        await servers.find(wait=0)
        with pytest.raises(RowError, match=r"image|photo"):
            await servers.send(request(b"no photo"))

    before = executions()
    use(refuse, server.grpc_url)
    assert executions() == before + 1


def test_no_more_calls_than_the_window_and_none_after_a_stop(server: Running) -> None:
    async def stop_after_the_first(servers: Servers) -> list[object]:
        facts = await servers.find(wait=0, window=2)
        assert facts.window == 2
        calls = [asyncio.ensure_future(servers.send(request())) for _ in range(6)]
        await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
        assert servers.in_flight <= 2
        servers.stop()
        return list(await asyncio.gather(*calls, return_exceptions=True))

    done = use(stop_after_the_first, server.grpc_url)
    stopped = [one for one in done if isinstance(one, StoppedError)]
    assert 0 < len(stopped) == len([one for one in done if isinstance(one, Exception)]) < 6


def test_a_call_that_is_late_or_dropped_is_never_cancelled(server: Running) -> None:
    async def give_up(servers: Servers) -> list[object]:
        await servers.find(wait=60, window=4)
        calls = [asyncio.ensure_future(servers.send(request())) for _ in range(4)]
        while servers.in_flight < 4:
            await asyncio.sleep(0)
        servers.drop()
        return list(await asyncio.gather(*calls, return_exceptions=True))

    async def be_late(servers: Servers) -> None:
        await servers.find(wait=60)
        with pytest.raises(PassingError, match=r"did not answer within 0\.05 s; raise --timeout"):
            await servers.send(request())

    before = canceled(server)
    assert all(isinstance(one, StoppedError) for one in use(give_up, server.grpc_url))
    use(be_late, server.grpc_url, timeout=0.05)
    with Relighter(server.grpc_url, timeout=0.05) as relighter, pytest.raises(RelightError, match=r"within 0\.05 s"):
        relighter(PHOTO)
    assert use(ask, server.grpc_url) > 100, "the server lives"
    assert canceled(server) == before


def canceled(server: Running) -> float:
    """How many requests the server was told to cancel."""
    with urllib.request.urlopen(f"http://{server.metrics_url}/metrics") as answer:
        counts = re.findall(
            r'^nv_inference_request_failure\{.*reason="CANCELED".*\} (\S+)$', answer.read().decode(), re.M
        )
    assert counts
    return sum(map(float, counts))


def test_a_server_that_joins_late_and_dies_costs_no_row(server: Running, repository: Path, tmp_path: Path) -> None:
    port = claim_ports("127.0.0.1", 0, 0, 0)[0]
    late = f"127.0.0.1:{port}"
    told: list[str] = []

    async def run(servers: Servers) -> None:
        await servers.find(wait=0)
        assert f"no server answers at {late}" in told[0]
        with bare_server(repository, tmp_path / "late.log", grpc_port=port) as (_, process):
            while not any("is back" in one for one in told):
                await mask_size(servers)
            calls = [asyncio.ensure_future(mask_size(servers)) for _ in range(16)]
            await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
            os.killpg(process.pid, 9)
            sizes = await asyncio.gather(*calls)
        assert len(set(sizes)) == 1
        assert f"no server answers at {late}" in told[-1]

    use(run, server.grpc_url, late, say=told.append)


def test_a_server_that_unloads_its_models_costs_no_row(plain_repository: Path, tmp_path: Path) -> None:
    told: list[str] = []
    lacking = "does not have the model relight ready"
    with bare_server(plain_repository, tmp_path / "unloading.log", *MODEL_CONTROL) as (port, _):
        url = f"127.0.0.1:{port}"
        control = InferenceServerClient(url)

        async def run(servers: Servers) -> None:
            size = await ask(servers)
            control.unload_model(ENSEMBLE)  # as Triton does first when it ends
            with (
                Relighter(url) as relighter,
                pytest.raises(RelightError, match=lacking),
            ):
                relighter(PHOTO)
            waiting = asyncio.ensure_future(mask_size(servers))
            while not any(lacking in one for one in told):
                await asyncio.sleep(0.05)
            control.load_model(ENSEMBLE)
            assert await waiting == size

        with contextlib.closing(control):
            use(run, url, say=told.append)


def test_a_dead_process_of_a_model_is_named_and_its_server_set_aside(
    server: Running, repository: Path, tmp_path: Path
) -> None:
    told: list[str] = []
    with bare_server(repository, tmp_path / "stub.log") as (port, process):
        ill = f"127.0.0.1:{port}"
        use(ask, ill)
        kill_stub(process, "decode")

        async def both(servers: Servers) -> None:
            await servers.find(wait=0)
            await asyncio.gather(*(mask_size(servers) for _ in range(8)))
            while not told:
                await mask_size(servers)

        use(both, server.grpc_url, ill, say=told.append)
        assert f"the server at {ill} fails: a Python process of the server has died" in told[0]
        with pytest.raises(UnreachableError, match=r"could be used for 1 s .*Python process.*Stub process 'decode"):
            use(ask, ill, grace=1)


def kill_stub(process: "subprocess.Popen[bytes]", model: str) -> None:
    """Kill the Python processes of a model behind a running server."""
    children = Path(f"/proc/{process.pid}/task").glob("*/children")
    commands = {
        int(pid): Path(f"/proc/{pid}/cmdline").read_text() for file in children for pid in file.read_text().split()
    }
    stubs = [pid for pid, command in commands.items() if f"/{model}/" in command]
    assert stubs, commands
    for pid in stubs:
        os.kill(pid, 9)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ca.crt, and with a.crt and a.key signed by it for localhost; other.crt has signed nothing."""
    folder = tmp_path_factory.mktemp("keys")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    for name in ("ca", "other"):
        openssl("req", "-x509", *curve, "-keyout", f"{name}.key", "-out", f"{name}.crt", "-subj", f"/CN={name}")
    openssl("req", *curve, "-keyout", "a.key", "-out", "a.csr", "-subj", "/CN=a")
    (folder / "names").write_text("subjectAltName=DNS:localhost")
    signed = ("-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "names", "-out", "a.crt")
    openssl("x509", "-req", "-in", "a.csr", *signed)
    return folder


def test_a_server_that_wants_tls_and_a_header_gets_both_and_says_what_is_missing(
    plain_repository: Path, keys: Path, tmp_path: Path
) -> None:
    flags = (
        "--grpc-use-ssl-mutual=true",
        f"--grpc-server-cert={keys / 'a.crt'}",
        f"--grpc-server-key={keys / 'a.key'}",
        f"--grpc-root-cert={keys / 'ca.crt'}",
        "--grpc-restricted-protocol=inference:key=secret",
    )
    ours = read_tls(keys / "ca.crt", keys / "a.crt", keys / "a.key")
    header = parse_header("triton-grpc-protocol-key:secret")
    with bare_server(plain_repository, tmp_path / "tls.log", *flags) as (port, _):
        url = f"localhost:{port}"
        assert use(ask, url, credentials=ours, headers=[header]) > 100
        with pytest.raises(UnreachableError, match=r"refuses access .*expecting header.*see --header"):
            use(ask_now, url, credentials=ours)
        with pytest.raises(UnreachableError, match=r"refuses access") as refused:
            use(ask_now, url, credentials=ours, headers=[(header[0], "wrong")])
        assert "wrong" not in str(refused.value)
        with pytest.raises(UnreachableError, match=r"no TLS connection .*CERTIFICATE_VERIFY_FAILED.*check --ca"):
            use(ask_now, url, credentials=read_tls(keys / "other.crt"))
        with pytest.raises(UnreachableError, match=r"localhost"):
            use(ask_now, url, credentials=read_tls(keys / "ca.crt"))
        with pytest.raises(UnreachableError, match=r"a server with TLS needs --tls"):
            use(ask_now, url)
