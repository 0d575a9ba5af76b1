"""`docker compose exec triton python3 -m docker.upgrade`: serve the newest version of each network, without a restart.

The configs are derived again first: an engine's folder is named after the network in it. Afterwards the service counts
as unhealthy until `docker compose run --rm verify` has verified what is served now.
"""

import os
import sys

from contract.command import run
from docker.entrypoint import prepare
from docker.places import LOOPBACK_HTTP, SECRETS
from server import upgrade
from server.installation import ServerError


def main() -> int:
    """Derive, then upgrade; return 0, or 1 when the server refuses."""
    try:
        prepare(os.environ)
    except ServerError as error:
        print(error, file=sys.stderr)
        return 1
    return upgrade.main(["--url", LOOPBACK_HTTP, "--admin-key-file", str(SECRETS / "admin-key")])


if __name__ == "__main__":
    run(main)
