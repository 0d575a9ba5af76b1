"""The client's credentials: the files of a TLS connection, and headers such as an API key."""

from __future__ import annotations

import re
import ssl
from pathlib import Path
from typing import Any

import grpc

Header = tuple[str, str]

_HEADER_NAME = re.compile(r"[0-9a-z_.-]+")


def read_tls(ca: Path | None = None, cert: Path | None = None, key: Path | None = None) -> Any:
    """Read a gRPC channel's TLS credentials.

    Args:
        ca: the CA certificates (PEM) that sign the server's; None for the public ones.
        cert: the client's own certificate (PEM), where the server asks for one.
        key: its private key (PEM), without a passphrase.

    Raises ValueError: a file cannot be read or used; a sentence.
    """
    if (cert is None) != (key is None):
        raise ValueError("--cert and --key belong together: give both or neither")
    context = ssl.create_default_context()  # only to check the files: gRPC itself gives no reason
    roots = None if ca is None else _read("--ca", ca)
    if ca is not None and roots is not None:
        try:
            context.load_verify_locations(ca)
        except ssl.SSLError:
            raise ValueError(f"--ca {ca} holds no certificate in PEM form") from None
    chain = None if cert is None else _read("--cert", cert)
    private = None if key is None else _read("--key", key)
    if cert is not None and key is not None:
        try:
            context.load_cert_chain(cert, key, password=_no_passphrase)
        except ssl.SSLError as error:
            what = "do not belong together" if error.reason == "KEY_VALUES_MISMATCH" else "are not PEM files"
            raise ValueError(f"--cert {cert} and --key {key} {what}") from None
    return grpc.ssl_channel_credentials(roots, private, chain)


def parse_header(text: str) -> Header:
    """Parse `NAME:VALUE`; the name becomes lower case. Raises ValueError with a sentence that hides the value."""
    name, colon, value = (part.strip() for part in text.partition(":"))
    name = name.lower()
    if not colon or not _HEADER_NAME.fullmatch(name):
        raise ValueError("a header must be NAME:VALUE, its name of letters, digits, hyphens, dots and underscores")
    if name.startswith("grpc-") or name.endswith("-bin"):
        raise ValueError(f"a header cannot be called {name}: gRPC reserves such names")
    if not value.isascii() or not value.isprintable():
        raise ValueError(f"the value of the header {name} must be printable ASCII")
    return name, value


def _read(flag: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ValueError(f"{flag} {path} cannot be read ({error.strerror})") from None


def _no_passphrase() -> str:
    raise ValueError("--key is encrypted; remove its passphrase with `openssl pkey`")
