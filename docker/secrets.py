"""What the server asks of its clients, by the files that the operator has put into one folder."""

from pathlib import Path

from docker.places import SECRETS
from server.access import Access, check_tls, is_loopback, read_key
from server.installation import ServerError


def present(folder: Path, name: str) -> Path | None:
    """A file of the operator's, None where there is none."""
    return folder / name if (folder / name).exists() else None


def read_access(folder: Path = SECRETS) -> Access:
    """Read server.pem and server.key (TLS), clients-ca.pem (who signs clients' certificates), api-key and admin-key.

    Each may be absent. Raises ServerError: a file is not what its name says, or one is missing beside another.
    """
    access = Access(
        tls_cert=present(folder, "server.pem"),
        tls_key=present(folder, "server.key"),
        tls_ca=present(folder, "clients-ca.pem"),
        api_key=read_key("The API key", present(folder, "api-key")),
        admin_key=read_key("The administrators' key", present(folder, "admin-key")),
    )
    check_tls(access)
    return access


def check_exposure(access: Access, bind: str) -> None:
    """Refuse to serve other machines, which reach gRPC by the published address `bind`, without TLS and an API key.

    Raises ServerError: naming what is missing.
    """
    needed = {"server.pem and server.key": access.tls_cert, "api-key": access.api_key}
    missing = [name for name, found in needed.items() if found is None]
    if missing and not is_loopback(bind):
        raise ServerError(
            f"RELIGHT_BIND={bind} opens the server to others, which needs TLS and an API key: put "
            f"{' and '.join(missing)} into the folder RELIGHT_SECRETS, or leave RELIGHT_BIND at 127.0.0.1."
        )
