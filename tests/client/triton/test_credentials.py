"""Promises of credentials: invalid files and headers are reported before anything is sent, without their secrets."""

import subprocess
from pathlib import Path

import pytest

from client.triton.credentials import parse_header, read_tls


def test_a_header_is_a_name_and_a_value() -> None:
    assert parse_header("X-Api-Key: se:cret ") == ("x-api-key", "se:cret")


@pytest.mark.parametrize(
    "text", ["secret", ":secret", "a b:secret", "grpc-timeout:secret", "k-bin:secret", "k:secret\n1"]
)
def test_a_header_that_cannot_be_sent_is_refused_without_its_value(text: str) -> None:
    with pytest.raises(ValueError, match="header") as refused:
        parse_header(text)
    assert "secret" not in str(refused.value)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a.crt and a.key, b.crt and b.key, a locked.key with a passphrase, and text.pem."""
    folder = tmp_path_factory.mktemp("keys")
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")
    for name in "ab":
        files = ("-nodes", "-keyout", f"{name}.key", "-out", f"{name}.crt", "-subj", f"/CN={name}")
        subprocess.run(["openssl", "req", "-x509", *curve, *files], cwd=folder, check=True, capture_output=True)
    lock = ("-aes256", "-passout", "pass:x", "-in", "a.key", "-out", "locked.key")
    subprocess.run(["openssl", "pkey", *lock], cwd=folder, check=True, capture_output=True)
    (folder / "text.pem").write_text("no key")
    return folder


def test_files_that_fit_are_taken(keys: Path) -> None:
    read_tls()
    read_tls(keys / "a.crt")
    read_tls(keys / "b.crt", keys / "a.crt", keys / "a.key")


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        (("none.crt", None, None), r"--ca .*none\.crt cannot be read \(No such file"),
        (("text.pem", None, None), r"--ca .*text\.pem holds no certificate in PEM form"),
        ((None, "a.crt", None), "--cert and --key belong together"),
        ((None, None, "a.key"), "--cert and --key belong together"),
        ((None, "a.crt", "b.key"), r"--cert .*a\.crt and --key .*b\.key do not belong together"),
        ((None, "text.pem", "a.key"), "are not PEM files"),
        ((None, "a.crt", "locked.key"), "--key is encrypted; remove its passphrase"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(keys: Path, files: tuple[str | None, ...], sentence: str) -> None:
    ca, cert, key = (None if name is None else keys / name for name in files)
    with pytest.raises(ValueError, match=sentence):
        read_tls(ca, cert, key)
