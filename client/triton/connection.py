"""One Triton server: its address, its configuration, and calls to its ensemble."""

from __future__ import annotations

import asyncio
import itertools
import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from client.errors import UnreachableError
from client.proxies import grpc_proxy, is_loopback
from client.triton.credentials import Header
from client.triton.http_port import HTTP_PORT, is_http_port
from client.triton.request import MESSAGE_SIZES
from contract.names import ENSEMBLE

_PROBE_SECONDS = 5.0  # a ready server answers these questions in milliseconds
_LAST_ANSWERS_SECONDS = 60.0  # at the end of a run, for the answers to calls that were given up
BATCHES, BATCHES_ON_GPUS = 3, 6  # in flight, of the busiest network's
_CALLS_PER_CHANNEL = 48  # in flight; this many fill one HTTP/2 connection

_OPTIONS = (
    *MESSAGE_SIZES,
    ("grpc.use_local_subchannel_pool", 1),  # else all channels to an address share one connection
    ("grpc.initial_reconnect_backoff_ms", 250),
    ("grpc.max_reconnect_backoff_ms", 2000),  # gRPC's default of two minutes is longer than a restart
)
# Failures that waiting does not cure: status codes, and parts of messages.
_REFUSALS = (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED)
_RESTRICTED = "protocol is restricted"
_TLS_TROUBLE = ("handshake", "CERTIFICATE", "certificate", "SSL", "ssl")
_SOCKET_CLOSED = "Socket closed"  # what a server with TLS does to a connection without
# What gRPC puts before the system's error message.
_CONNECTING = re.compile(r"^failed to connect to all addresses; last error: \w+: \S+: ")


@dataclass(frozen=True)
class Address:
    """The address of one server: `label` in messages, `target` for gRPC, `host` as its certificate names it.

    `proxy` is the one that its calls go through, in words; empty for none.
    """

    label: str
    target: str
    host: str
    proxy: str = ""


@dataclass(frozen=True)
class Facts:
    """What servers report: how many calls in flight keep them busy, and their models' versions."""

    window: int
    model_versions: dict[str, str]


class NotReadyError(Exception):
    """The server cannot be used now; the message says why, without a remedy."""


async def find_addresses(url: str) -> list[Address]:
    """Resolve HOST:PORT to one server for each IPv4 address of the name, or for each IPv6 address.

    A name with one of each, such as localhost, is one server, and gRPC chooses the address. Raises NotReadyError.
    """
    host, _, port = url.rpartition(":")
    host = host.strip("[]")
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise NotReadyError(
            f"the host name {host} of --url {url} is not known ({error.strerror}), check its spelling"
        ) from error
    here = all(is_loopback(str(place[0])) for *_, place in found)
    proxy = "" if here else grpc_proxy(host)
    for family, kind, pattern in ((socket.AF_INET, "ipv4", "{}:{}"), (socket.AF_INET6, "ipv6", "[{}]:{}")):
        places = [pattern.format(*place) for at, _, _, _, place in found if at == family]
        if len(places) > 1:
            return [Address(f"{place} ({host})", f"{kind}:{place}", host, proxy) for place in sorted(set(places))]
    return [Address(url, f"[{host}]:{port}" if ":" in host else url, host, proxy)]


class Connection:
    """Channels to one server. Create it inside a running event loop."""

    def __init__(self, address: Address, timeout: float, credentials: Any, headers: Sequence[Header]) -> None:
        """`timeout` in seconds per call; `credentials` of a gRPC channel, or None for no encryption."""
        self.label = address.label
        self._address, self._timeout, self._credentials, self._headers = address, timeout, credentials, tuple(headers)
        self._calls: set[asyncio.Future[Any]] = set()  # those without an answer, also if nobody waits for it any more
        self._channels: list[Any] = []
        self._turns = itertools.cycle([self._open()])

    @property
    def unanswered(self) -> int:
        """The number of calls without an answer."""
        return len(self._calls)

    async def infer(self, request: Any) -> Any:
        """Return the ModelInferResponse. Raises grpc.aio.AioRpcError; its code after `timeout` is DEADLINE_EXCEEDED.

        A call is never cancelled, because that can crash Triton before 24.12 (server#7368): gRPC is given no deadline,
        and where the caller is late or cancelled, its call goes on.
        """
        call = asyncio.ensure_future(next(self._turns).ModelInfer(request, metadata=self._headers))
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)
        try:
            return await asyncio.wait_for(asyncio.shield(call), self._timeout)
        except asyncio.TimeoutError:
            nothing = grpc.aio.Metadata()
            raise grpc.aio.AioRpcError(grpc.StatusCode.DEADLINE_EXCEEDED, nothing, nothing) from None

    async def ask(self) -> Facts:
        """Ask the server for its Facts. Raises NotReadyError, or UnreachableError if waiting cannot help."""
        stub = next(self._turns)
        try:
            ready = await self._question(stub.ModelReady, service_pb2.ModelReadyRequest(name=ENSEMBLE))
            if not ready.ready:
                raise NotReadyError(f"the server at {self.label} does not have the model {ENSEMBLE} ready")
            facts = await self._facts(stub)
        except grpc.aio.AioRpcError as error:
            self.check(error)
            place = (self._address.host, self._address.target.rpartition(":")[2])
            if await asyncio.to_thread(is_http_port, *place, reason(error)):
                raise UnreachableError(f"{self.label} is {HTTP_PORT}") from error
            hint = without_tls(error) if self._credentials is None else ""
            if proxy := self._address.proxy:
                hint += f"; it was called through {proxy}, which no_proxy can except"
            raise NotReadyError(f"no server answers at {self.label} ({reason(error)}{hint})") from error
        while len(self._channels) * _CALLS_PER_CHANNEL < facts.window:
            self._open()
        self._turns = itertools.cycle(map(service_pb2_grpc.GRPCInferenceServiceStub, self._channels))
        return facts

    def check(self, error: grpc.aio.AioRpcError) -> None:
        """Raise UnreachableError if a call failed because of authentication or TLS."""
        if sentence := refusal(error, self.label, encrypted=self._credentials is not None):
            raise UnreachableError(sentence) from error

    async def close(self) -> None:
        """Close the channels as soon as every call is answered; one that is never answered ends with them."""
        if self._calls:
            await asyncio.wait(self._calls, timeout=max(self._timeout, _LAST_ANSWERS_SECONDS))
        for channel in self._channels:
            await channel.close()

    def _open(self) -> Any:
        options: list[tuple[str, Any]] = [*_OPTIONS, ("grpc.enable_http_proxy", int(bool(self._address.proxy)))]
        if self._credentials is None:
            channel = grpc.aio.insecure_channel(self._address.target, options=options)
        else:
            # The certificate names the host, not its address.
            options.append(("grpc.ssl_target_name_override", self._address.host))
            channel = grpc.aio.secure_channel(self._address.target, self._credentials, options=options)
        self._channels.append(channel)
        return service_pb2_grpc.GRPCInferenceServiceStub(channel)

    async def _question(self, method: Any, request: Any) -> Any:
        return await method(request, timeout=_PROBE_SECONDS, metadata=self._headers)

    async def _facts(self, stub: Any) -> Facts:
        async def config(name: str) -> Any:
            return (await self._question(stub.ModelConfig, service_pb2.ModelConfigRequest(name=name))).config

        ensemble = await config(ENSEMBLE)
        members = sorted({step.model_name for step in ensemble.ensemble_scheduling.step})
        configs = [await config(name) for name in members]
        served = {}
        for name in (ENSEMBLE, *members):
            # Not the repository's index, which a server open to others shows to administrators only.
            model = await self._question(stub.ModelMetadata, service_pb2.ModelMetadataRequest(name=name))
            served[name] = max(model.versions, key=int)
        return Facts(window_of(configs or [ensemble]), served)


def reason(error: Any) -> str:
    """Why a call failed, a grpc.RpcError with `details`, without gRPC's prefix."""
    return _CONNECTING.sub("", error.details() or "")


def refusal(error: Any, label: str, *, encrypted: bool) -> str:
    """The sentence about a call to `label` that failed because of authentication or TLS; empty for another reason."""
    details = reason(error)
    if error.code() in _REFUSALS or _RESTRICTED in details:
        return f"the server at {label} refuses access ({details}); see --header"
    if encrypted and any(word in details for word in _TLS_TROUBLE):
        return (
            f"there is no TLS connection to {label} ({details}); check --ca, --cert and --key, "
            "and whether the server uses TLS at all"
        )
    return ""


def without_tls(error: Any) -> str:
    """The hint where a call without encryption failed as it does at a server with TLS; empty for another reason."""
    return "; a server with TLS needs --tls" if _SOCKET_CLOSED in reason(error) else ""


def window_of(configs: Sequence[Any]) -> int:
    """The calls in flight that keep the busiest network full: so many of its largest batches for each instance.

    One batch is computed, one is queued, and one is in encode, the client and decode; on GPUs, which are faster, three
    are there (`python -m benchmarks simulate --events`). Models of the Python backend (decode, encode) do not count,
    because they have spare instances.
    """
    networks = [c for c in configs if c.backend != "python"] or configs
    busiest: int = max(max(1, c.max_batch_size) * _instances(c) for c in networks)
    return busiest * (BATCHES_ON_GPUS if any(map(_on_gpus, networks)) else BATCHES)


def _on_gpus(config: Any) -> bool:
    """Whether a model's instances are on GPUs."""
    return any(group.kind == group.KIND_GPU for group in config.instance_group)


def _instances(config: Any) -> int:
    """The number of instances: a group on GPUs has `count` on each of them."""
    instances: int = sum(g.count * max(1, len(g.gpus)) for g in config.instance_group)
    return max(1, instances)
