"""The proxy that the environment names for a host: what gRPC and our downloads go through, in words for messages."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Sequence
from contextlib import suppress
from urllib.parse import urlsplit
from urllib.request import proxy_bypass


def grpc_proxy(host: str) -> str:
    """The proxy for calls to `host`, such as `the proxy of http_proxy (proxy:3128)`; empty for none.

    The variables are gRPC's own, in its order; this machine is asked directly.
    """
    if is_loopback(host):
        return ""
    return _proxy(host, ("grpc_proxy", "https_proxy", "http_proxy"), ("no_grpc_proxy", "no_proxy"))


def web_proxy(url: str) -> str:
    """The proxy for downloads of `url`, told as by `grpc_proxy`; empty for none."""
    parts = urlsplit(url)
    variable = f"{parts.scheme.lower()}_proxy"
    return _proxy(parts.hostname or "", (variable, variable.upper()), ("no_proxy", "NO_PROXY"))


def is_loopback(host: str) -> bool:
    """Whether `host` is this machine by its very name: localhost, 127.0.0.1, ::1."""
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost" or host.endswith(".localhost")


def _proxy(host: str, variables: Sequence[str], exceptions: Sequence[str]) -> str:
    variable = next(filter(os.environ.get, variables), None)
    if variable is None:
        return ""
    unproxied = next(filter(None, map(os.environ.get, exceptions)), "")
    if proxy_bypass(host, {"no": unproxied}):
        return ""
    address = os.environ[variable]
    place = urlsplit(address if "://" in address else f"//{address}").netloc
    return f"the proxy of {variable} ({place.rpartition('@')[2]})"  # what stands before an @ is secret
