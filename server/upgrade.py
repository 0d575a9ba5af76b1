"""`python -m server.upgrade`: make a running server serve the newest version of each network in its repository.

Triton loads a version beside the one that serves, then sends new requests to it: no request fails. But `encode` writes
into INFO the checksums of the networks, and models are exchanged one by one. So encode is changed first: it gives no
checksums until all networks are exchanged. An answer has the checksums of the networks that made it, or none; a run of
the client, which uses one set of networks, ends there.

example: python -m server.upgrade --url 127.0.0.1:8000 --admin-key-file admin-key
"""

import argparse
import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from contract.command import run
from contract.names import NETWORKS
from server.access import ADMIN_KEY, read_key
from server.http_api import RefusedError, ask
from server.installation import ServerError

LABELLER = "encode"  # the model that writes INFO
CHANGING = "changing"  # the parameter that keeps it from naming the networks
Ask = Callable[..., bytes]  # path and, for a POST, body → the server's answer


def config_of(ask: Ask, model: str) -> dict[str, Any]:
    """A model's config. Raises ServerError."""
    config: dict[str, Any] = json.loads(ask(f"/v2/models/{model}/config"))
    return config


def served_versions(ask: Ask) -> dict[str, str]:
    """The newest version that serves, by network. Raises ServerError."""
    found = {name: json.loads(ask(f"/v2/models/{name}"))["versions"] for name in NETWORKS}
    return {name: max(versions, key=int) for name, versions in found.items()}


def load(ask: Ask, model: str, config: dict[str, Any] | None = None) -> None:
    """Load what has changed of a model, with another config than its own if one is given.

    Returns when it serves. Raises ServerError; what served before still serves then.
    """
    parameters = {"config": json.dumps(config)} if config else {}
    ask(f"/v2/repository/models/{model}/load", json.dumps({"parameters": parameters}).encode())


def upgrade(ask: Ask) -> dict[str, str]:
    """Exchange the networks of the server that `ask` asks; return the version of each.

    Raises:
        RefusedError: the server allows no administration.
        ServerError: a network does not load, and answers carry no checksums until it does; or there is no server.
    """
    config = config_of(ask, LABELLER)
    settled = {name: value for name, value in config.get("parameters", {}).items() if name != CHANGING}
    load(ask, LABELLER, {**config, "parameters": {**settled, CHANGING: {"string_value": "yes"}}})
    for name in NETWORKS:
        try:
            load(ask, name)
        except RefusedError as error:
            raise ServerError(
                f"{name} cannot be exchanged ({error}). Its former version still serves, and answers carry no "
                f"checksums. Take the newest folder of {name} away, or repair it, and run this again."
            ) from error
    # With its config: Triton would otherwise keep the one that the model was last loaded with.
    load(ask, LABELLER, {**config, "parameters": settled})
    return served_versions(ask)


def main(argv: list[str] | None = None) -> int:
    """Upgrade the server; return 0, or 1 when it refuses."""
    parser = argparse.ArgumentParser(
        prog="python -m server.upgrade", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--url", metavar="HOST:PORT", default="127.0.0.1:8000", help="HTTP port (default: %(default)s)")
    parser.add_argument("--admin-key-file", metavar="FILE", type=Path, help="the key that the server was started with")
    parser.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=float,
        default=1800.0,
        help="for each network to load (default: %(default)g)",
    )
    arguments = parser.parse_args(argv)
    try:
        key = read_key("--admin-key-file", arguments.admin_key_file)
        headers = {ADMIN_KEY: key} if key else {}
        versions = upgrade(partial(ask, arguments.url, headers=headers, timeout=arguments.timeout))
    except RefusedError as error:
        hint = "give --admin-key-file, and start the server with --model-control"
        print(f"The server at {arguments.url} refuses ({error}): {hint}.", file=sys.stderr)
        return 1
    except ServerError as error:
        print(error, file=sys.stderr)
        return 1
    print("Serves " + ", ".join(f"{name} {version}" for name, version in versions.items()))
    return 0


if __name__ == "__main__":
    run(main)
