"""Where a server listens, what it asks of its clients, and whether it encrypts: addresses, files and Triton's flags."""

import ipaddress
import re
import secrets
import socket
import ssl
from dataclasses import dataclass, field
from pathlib import Path

from server.installation import ServerError

API_KEY, ADMIN_KEY = "api-key", "admin-key"  # the headers of HTTP; those of gRPC have GRPC_PREFIX in front
GRPC_PREFIX = "triton-grpc-protocol-"
# Requests that change the server, or read files or memory of its machine.
ADMINISTRATION = "model-repository,shared-memory,logging,trace"
LOOPBACK = "127.0.0.1"
HOSTS = "--host takes an address or a name of this machine, such as 127.0.0.1, ::1 or 0.0.0.0"
_KEY = re.compile(r"[0-9A-Za-z_-]{16,}")  # what Triton's flags can carry


@dataclass(frozen=True)
class Access:
    """What a server asks of its clients; nothing by default."""

    tls_cert: Path | None = None  # the server's certificate and its intermediates (PEM); None: gRPC is not encrypted
    tls_key: Path | None = None  # its private key (PEM), without a passphrase
    tls_ca: Path | None = None  # the authorities (PEM) that sign clients' certificates; None to ask for none
    api_key: str | None = field(default=None, repr=False)  # what inference asks for
    # What ADMINISTRATION asks for; None to close it to all unless the server is on a loopback address.
    admin_key: str | None = field(default=None, repr=False)

    @property
    def probe_headers(self) -> dict[str, str]:
        """What an inference over HTTP has to carry."""
        return {API_KEY: self.api_key} if self.api_key else {}

    def clear_text_host(self, host: str) -> str:
        """Where HTTP and metrics listen: Triton cannot encrypt them, so with TLS they stay on 127.0.0.1."""
        return LOOPBACK if self.tls_cert else host


OPEN = Access()  # nothing is asked


def check_tls(access: Access) -> None:
    """Check the TLS files: Triton would only say that gRPC does not start.

    Raises ServerError: a file is missing, unreadable, or not what it should be.
    """
    cert, key, authorities = access.tls_cert, access.tls_key, access.tls_ca
    if (cert is None) != (key is None):
        raise ServerError("--tls-cert and --tls-key belong together: give both or neither.")
    if authorities and not cert:
        raise ServerError("--tls-ca asks clients for certificates, which needs TLS: give --tls-cert and --tls-key too.")
    for flag, file in (("--tls-cert", cert), ("--tls-key", key), ("--tls-ca", authorities)):
        if file:
            read(flag, file)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    if cert and key:
        try:
            context.load_cert_chain(cert, key, password=no_passphrase)
        except ssl.SSLError as error:
            what = "do not belong together" if error.reason == "KEY_VALUES_MISMATCH" else "are not PEM files"
            raise ServerError(f"--tls-cert {cert} and --tls-key {key} {what}.") from None
    if authorities:
        try:
            context.load_verify_locations(authorities)
        except ssl.SSLError:
            raise ServerError(f"--tls-ca {authorities} holds no certificate in PEM form.") from None


def no_passphrase() -> str:
    """Called for the passphrase of a private key that has one."""
    raise ServerError("--tls-key is encrypted; remove its passphrase with `openssl pkey`.")


def read_key(flag: str, file: Path | None) -> str | None:
    """The key in a file, None where there is no file.

    Raises ServerError: it cannot be read, or holds something else; the message does not show the content.
    """
    if file is None:
        return None
    key = read(flag, file).decode(errors="replace").strip()
    if not _KEY.fullmatch(key):
        raise ServerError(
            f"{flag} {file} must hold one key of at least 16 letters, digits, hyphens and underscores: "
            f"`openssl rand -hex 32 > {file}` makes one."
        )
    return key


def read(flag: str, file: Path) -> bytes:
    """The content of a file. Raises ServerError."""
    try:
        return file.read_bytes()
    except OSError as error:
        raise ServerError(f"{flag} {file} cannot be read ({error.strerror}).") from error


def access_flags(access: Access, host: str) -> list[str]:
    """Triton's flags for `access` on a server whose gRPC port listens on `host`.

    Administration of a server that others can reach is never open: without a key, a random one closes it.
    """
    flags = []
    if access.tls_cert:
        flags += [f"--grpc-use-ssl{'-mutual' if access.tls_ca else ''}=true"]
        flags += [f"--grpc-server-cert={access.tls_cert}", f"--grpc-server-key={access.tls_key}"]
    if access.tls_ca:
        flags += [f"--grpc-root-cert={access.tls_ca}"]
    admin_key = access.admin_key or (None if is_loopback(host) else secrets.token_hex(32))
    for services, header, key in (("inference", API_KEY, access.api_key), (ADMINISTRATION, ADMIN_KEY, admin_key)):
        if key:
            flags += [f"--grpc-restricted-protocol={services}:{header}={key}"]
            flags += [f"--http-restricted-api={services}:{header}={key}"]
    return flags


def is_loopback(host: str) -> bool:
    """Whether only its own machine reaches an address; of names, only localhost is taken to be such."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def url(address: str, port: int) -> str:
    """Where clients connect."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def find_address(host: str) -> str:
    """The IPv4 address of a name, else its IPv6 address: Triton's HTTP server takes no names. Raises ServerError."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise ServerError(f"The host {host} is not known ({error.args[-1]}): {HOSTS}.") from error
    return str(min(found, key=lambda one: one[0] != socket.AF_INET)[4][0])
