"""Recognises Triton's HTTP port where its gRPC port was meant: gRPC only says that the connection was closed."""

from __future__ import annotations

import socket
from contextlib import suppress

HTTP_PORT = "an HTTP port, such as Triton's 8000 and 8002: give the port of gRPC, which is 8001 unless it was changed"
_SECONDS = 2.0  # a web server answers at once
_QUESTION = b"GET /v2/health/live HTTP/1.0\r\n\r\n"
# What gRPC says where a web server answers, or closes the connection.
_SUSPICIONS = ("Socket closed", "HTTP/2", "http1.x")


def is_http_port(host: str, port: str, failure: str) -> bool:
    """Whether a call that failed with gRPC's words `failure` was sent to a web server. Blocks for seconds at most."""
    if not any(words in failure for words in _SUSPICIONS):
        return False
    with suppress(OSError, ValueError), socket.create_connection((host, int(port)), _SECONDS) as connection:
        connection.sendall(_QUESTION)
        return connection.recv(16).startswith(b"HTTP/1")
    return False
