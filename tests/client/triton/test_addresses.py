"""Promises about addresses: IPv6, proxies of the environment, and the HTTP port given for gRPC."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from client import Relighter, RelightError
from client.errors import UnreachableError
from client.proxies import grpc_proxy, web_proxy
from client.triton.servers import Servers
from tests.client.triton.test_servers import ask_now, use
from tests.rig.places import SAMPLES
from tests.rig.sites import serving

PHOTO = SAMPLES / "grace_hopper.jpg"


class Running(Protocol):
    """What the `server` fixture gives: addresses of a running Triton."""

    grpc_url: str
    http_url: str


@contextlib.contextmanager
def on_ipv6(url: str) -> Iterator[str]:
    """The server at `url` under an IPv6 address."""
    host, _, port = url.rpartition(":")
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as listening:

        def accept() -> None:
            with contextlib.suppress(OSError):  # the block has ended
                while True:
                    near, far = listening.accept()[0], socket.create_connection((host, int(port)))
                    for pair in ((near, far), (far, near)):
                        threading.Thread(target=copy, args=pair, daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield f"[::1]:{listening.getsockname()[1]}"


def copy(source: socket.socket, sink: socket.socket) -> None:
    """Pass on bytes until one side closes."""
    with contextlib.suppress(OSError), source, sink:
        while content := source.recv(1 << 16):
            sink.sendall(content)


def test_a_server_may_have_an_ipv6_address(server: Running) -> None:
    with on_ipv6(server.grpc_url) as url:
        assert use(ask_now, url) == use(ask_now, url.replace("[", "").replace("]", "")) > 100
        with Relighter(url) as relighter:
            assert relighter(PHOTO, files="mask").mask.ndim == 2


def test_the_http_port_given_for_grpc_is_recognised(server: Running) -> None:
    sentence = rf"{server.http_url} is an HTTP port.*give the port of gRPC, which is 8001"
    with pytest.raises(UnreachableError, match=sentence):
        use(ask_now, server.http_url)
    with Relighter(server.http_url) as relighter, pytest.raises(RelightError, match=sentence):
        relighter(PHOTO)


def test_calls_to_this_machine_never_go_through_a_proxy(
    server: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(tmp_path) as proxy:  # it refuses to be one
        for variable in ("http_proxy", "https_proxy", "grpc_proxy"):
            monkeypatch.setenv(variable, proxy.url)
        for url in (server.grpc_url, server.grpc_url.replace("127.0.0.1", "localhost")):
            assert use(ask_now, url) > 100
            with Relighter(url) as relighter:
                relighter(PHOTO, files="mask")


def test_a_proxy_that_fails_is_named_and_no_proxy_excepts_a_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def find(servers: Servers) -> None:
        await servers.find(wait=0)

    url = "192.0.2.1:8001"  # of a network that exists in documents alone
    with serving(tmp_path) as proxy:
        monkeypatch.setenv("https_proxy", proxy.url.replace("//", "//user:secret@"))
        sentence = r"403; it was called through the proxy of https_proxy \(127\.0\.0\.1:\d+\), which no_proxy can"
        with pytest.raises(UnreachableError, match=sentence) as refused:
            use(find, url)
        assert "secret" not in str(refused.value)
        with Relighter(url) as relighter, pytest.raises(RelightError, match=r"the proxy of https_proxy"):
            relighter(PHOTO)
        assert grpc_proxy("192.0.2.1")
        monkeypatch.setenv("no_proxy", "localhost,192.0.2.1,.example.org")
        assert not grpc_proxy("192.0.2.1")
        assert not grpc_proxy("gpu1.example.org")
        assert not web_proxy("https://gpu1.example.org/a.jpg")
        assert web_proxy("https://example.com/a.jpg")
        assert not web_proxy("http://example.com/a.jpg"), "that variable is not set"
