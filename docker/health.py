"""Docker's health check: the server's ensemble answers, and what is served was verified.

Docker only says that a container is unhealthy. Where Triton is ready and does not answer, which nothing but a new start
ends, this check has it started again.
"""

import os
import signal
import tempfile
from contextlib import suppress
from pathlib import Path

from contract.command import run
from docker.places import ENGINES, LOOPBACK_HTTP, SECRETS
from docker.secrets import read_access
from docker.served import serving, verified
from server.http_api import RefusedError
from server.installation import ServerError
from server.probe import answers_inference
from server.watch import children

TIMEOUT = 50.0  # seconds for the answer of a server that is busy with full batches
RETRIES = 3  # checks in a row without an answer after which Docker says unhealthy, and Triton is ended
COUNT = Path(tempfile.gettempdir(), "unanswered")  # the number of such checks, in the container's memory
ENTRYPOINT = 1  # the process that starts Triton, and again after its end


def fault(
    http_url: str = LOOPBACK_HTTP, engines: Path = ENGINES, secrets: Path = SECRETS, timeout: float = TIMEOUT
) -> str | None:
    """What is wrong with a server, in a sentence; None when it is healthy. Raises RefusedError where it hangs."""
    try:
        if not answers_inference(http_url, timeout, read_access(secrets).probe_headers):
            return "The server is not ready: networks are being loaded, or engines built."
        if not verified(serving(engines), engines).exists():
            return "The server answers, but its networks are not verified yet: see `docker compose logs verify`."
    except RefusedError:
        raise
    except (ServerError, FileNotFoundError) as error:
        return str(error)
    return None


def count_unanswered(unanswered: bool, count: Path = COUNT, entrypoint: int = ENTRYPOINT) -> bool:
    """Count the checks in a row that went unanswered; after RETRIES end Triton, and return True."""
    times = 0
    with suppress(FileNotFoundError, ValueError):
        times = int(count.read_text("utf-8"))
    times = times + 1 if unanswered else 0
    count.write_text(str(times % RETRIES), "utf-8")
    if times < RETRIES:
        return False
    for process in children(entrypoint):
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    return True


def main() -> int:
    """Say how the server is; return 0 when it is healthy, else 1."""
    try:
        found = fault()
        count_unanswered(unanswered=False)
    except RefusedError as error:
        found = f"{error}."
        if count_unanswered(unanswered=True):
            found += f" That was the {RETRIES}rd time in a row: Triton is started again."
    print(found or "Healthy.")
    return 1 if found else 0


if __name__ == "__main__":
    run(main)
