"""Waits for the server, then compares what it answers, on the engines that serve, with the answers kept at the export.

RELIGHT_HOSTNAME    the server's name, as its TLS certificate has it
"""

import os
import sys
import time
from pathlib import Path

from tritonclient.utils import InferenceServerException

from contract.command import run
from docker.places import GRPC_PORT, MODELS, SECRETS
from docker.secrets import present, read_access
from docker.served import serving, verified
from export.check.verify import Server, verify_repository
from server.access import API_KEY, GRPC_PREFIX, Access
from server.installation import ServerError

READY_SECONDS = 3 * 3600.0  # the first start builds engines
REMINDER_SECONDS = 60.0  # between two lines about waiting
POLL_SECONDS = 1.0


def describe_server(access: Access, url: str, secrets: Path = SECRETS) -> Server:
    """The server as a client with the operator's files sees it.

    Its authority may be in ca.pem; where it asks for certificates, ours is in client.pem and client.key.
    """
    return Server(
        url,
        tls=access.tls_cert is not None,
        ca=present(secrets, "ca.pem"),
        cert=present(secrets, "client.pem"),
        key=present(secrets, "client.key"),
        headers={f"{GRPC_PREFIX}{API_KEY}": access.api_key} if access.api_key else {},
    )


def wait_until_ready(server: Server, timeout: float = READY_SECONDS) -> None:
    """Return when the server has loaded its networks.

    Raises ServerError: it has not within `timeout` seconds; with the last reason.
    """
    deadline, reminder, reason = time.monotonic() + timeout, 0.0, "it is loading its networks"
    while time.monotonic() < deadline:
        try:
            with server.connect() as client:
                if client.is_server_ready(client_timeout=5.0):
                    return
        except InferenceServerException as error:
            reason = str(error.message())
        if time.monotonic() > reminder:
            print(f"Waiting for {server.url}: {reason}", flush=True)
            reminder = time.monotonic() + REMINDER_SECONDS
        time.sleep(POLL_SECONDS)
    raise ServerError(f"{server.url} was not ready within {timeout:g} s: {reason}.")


def main() -> int:
    """Verify what is served and record it for the health check; return 0, or 1 when it computes something else."""
    url = f"{os.environ.get('RELIGHT_HOSTNAME') or 'triton'}:{GRPC_PORT}"
    try:
        server = describe_server(read_access(), url)
        wait_until_ready(server)
    except ServerError as error:
        print(error, file=sys.stderr)
        return 1
    passed = verified(serving())
    if passed.exists():
        print("What is served was verified before, on the same engines.")
        return 0
    if not verify_repository(MODELS, server=server):
        return 1
    passed.touch()
    return 0


if __name__ == "__main__":
    run(main)
