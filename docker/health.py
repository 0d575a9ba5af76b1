"""Docker's health check: the server's ensemble answers, and what is served was verified."""

from pathlib import Path

from contract.command import run
from docker.places import ENGINES, LOOPBACK_HTTP, SECRETS
from docker.secrets import read_access
from docker.served import serving, verified
from server.installation import ServerError
from server.probe import answers_inference

TIMEOUT = 50.0  # seconds for the answer of a server that is busy with full batches


def fault(http_url: str = LOOPBACK_HTTP, engines: Path = ENGINES, secrets: Path = SECRETS) -> str | None:
    """What is wrong with a server, in a sentence; None when it is healthy."""
    try:
        if not answers_inference(http_url, TIMEOUT, read_access(secrets).probe_headers):
            return "The server is not ready: networks are being loaded, or engines built."
        if not verified(serving(engines), engines).exists():
            return "The server answers, but its networks are not verified yet: see `docker compose logs verify`."
    except (ServerError, FileNotFoundError) as error:
        return str(error)
    return None


def main() -> int:
    """Say how the server is; return 0 when it is healthy, else 1."""
    found = fault()
    print(found or "Healthy.")
    return 1 if found else 0


if __name__ == "__main__":
    run(main)
