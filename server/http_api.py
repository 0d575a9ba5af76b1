"""Asks Triton over HTTP with the standard library alone.

Triton's HTTP port has no TLS, so it is closed to other machines where gRPC is encrypted. A health check, which asks
from the machine itself, needs no certificate.
"""

import json
from collections.abc import Mapping
from contextlib import closing
from http.client import HTTPConnection, HTTPException

from contract.errors import plain
from server.installation import ServerError

HEADER_LENGTH = "Inference-Header-Content-Length"  # of a request whose tensors follow its JSON as bytes


class NotListeningError(ServerError):
    """No server listens at the address, yet or any more."""


class RefusedError(ServerError):
    """Triton has refused a request, or has not answered it in time; the message is its sentence."""


def ask(
    http_url: str, path: str, body: bytes | None = None, *, headers: Mapping[str, str] | None = None, timeout: float
) -> bytes:
    """Return the answer to a POST of `body`, or to a GET where there is none.

    Args:
        http_url: host:port.
        path: such as /v2/health/ready.
        body: JSON, or JSON and tensors.
        headers: to be sent, such as a key.
        timeout: seconds to wait for the answer.

    Raises:
        NotListeningError: there is no connection, or it ended without an answer.
        RefusedError: the answer is an error, or late.
    """
    with closing(HTTPConnection(http_url, timeout=timeout)) as connection:
        try:
            connection.request("GET" if body is None else "POST", path, body, dict(headers or {}))
            response = connection.getresponse()
            answer = response.read()
        except TimeoutError as error:
            raise RefusedError(f"no answer to {path} within {timeout:g} s") from error
        except (OSError, HTTPException) as error:
            raise NotListeningError(f"no server answers at {http_url} ({error})") from error
    if response.status != 200:
        raise RefusedError(reason(answer) or f"{path} was answered with the status {response.status}")
    return answer


def reason(answer: bytes) -> str:
    """The sentence in the JSON of a refusal; the whole answer where it is not JSON."""
    try:
        return plain(json.loads(answer)["error"])
    except (ValueError, KeyError, TypeError):
        return answer.decode(errors="replace")
