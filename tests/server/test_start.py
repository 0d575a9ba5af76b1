"""What the server cannot start with is avoided, or refused at once in a line that names the remedy."""

import os
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from contract.names import NETWORKS
from server.derive import this_machine
from server.embedded import KEPT_LOGS, Options, embedded_server, starting_server, sweep_leftovers
from server.installation import ServerError, scratch_parent
from server.probe import answers_inference
from tests.rig.places import REPOSITORY, ROOT
from tests.rig.runs import relight, small_table

WAIT_SECONDS = 60.0  # for what takes under 10 on an idle machine


@pytest.fixture(scope="module")
def unusual(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository at a path that a shell would take apart."""
    copy = tmp_path_factory.mktemp("a b & ü") / "models"
    return shutil.copytree(repository, copy, ignore=shutil.ignore_patterns("configs", "__pycache__"))


def options_for(repository: Path, host: str = "127.0.0.1") -> Options:
    return Options(repository, this_machine(gpus=0), host, grpc_port=0, http_port=0, metrics_port=0)


def loopback() -> str:
    """::1, or a name where the machine has no IPv6."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return "localhost"
    return "::1"


def test_any_path_any_locale_and_ipv6_are_served(
    unusual: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "t m p").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "t m p"))
    monkeypatch.setenv("LC_ALL", "POSIX")
    log = tmp_path / "t m p" / "log ü.txt"
    with embedded_server(replace(options_for(unusual, loopback()), log=log)) as server:
        assert server.repository == unusual
        assert answers_inference(server.http_url, WAIT_SECONDS)
        assert "Started GRPCInferenceService" in log.read_text()
        table = small_table(tmp_path, "a.png")
        assert relight(server, table, tmp_path / "out", "--dry-run", "--quiet") == 0


def test_a_model_that_does_not_load_ends_the_start_though_triton_goes_on(
    unusual: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.embedded.OTHER_ERRORS_SECONDS", 0.5)
    file = unusual / "shadow" / "1" / "model.onnx"
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    start = time.monotonic()
    with (
        pytest.raises(ServerError) as refusal,
        embedded_server(replace(options_for(unusual), extra=("--exit-on-error=false",))),
    ):
        pass
    file.write_bytes(whole)
    assert time.monotonic() - start < WAIT_SECONDS
    said = str(refusal.value).splitlines()[0]
    assert said.startswith("Model `shadow` failed to load: ")
    assert str(file) in said
    assert said.endswith("the file is incomplete: write it again with `python -m export`")


def test_a_fresh_clone_is_told_to_export(tmp_path: Path) -> None:
    for config in REPOSITORY.glob("*/config.pbtxt"):
        (tmp_path / config.parent.name).mkdir()
        shutil.copy(config, tmp_path / config.parent.name)
    with pytest.raises(ServerError, match=f"{', '.join(NETWORKS)}: write them with `python -m export`"):
        starting_server(options_for(tmp_path)).__enter__()


@pytest.mark.parametrize(
    ("host", "fault"), [("nosuch.invalid", "The host nosuch.invalid is not known"), ("192.0.2.1", "is no address")]
)
def test_a_host_that_is_not_this_machine_is_refused(repository: Path, host: str, fault: str) -> None:
    with pytest.raises(ServerError, match=rf"{fault}.*: --host takes .* such as 127\.0\.0\.1, ::1 or 0\.0\.0\.0"):
        starting_server(options_for(repository, host)).__enter__()


def test_folders_that_cannot_be_written_or_run_programs_are_avoided_or_named(repository: Path, tmp_path: Path) -> None:
    for name in ("noexec", "full", "models"):
        (tmp_path / name).mkdir()
    unwritten = shutil.ignore_patterns("configs", "__pycache__")
    shutil.copytree(repository, tmp_path / "models", dirs_exist_ok=True, ignore=unwritten)
    serve = f"{sys.executable} -m server --repository {tmp_path}/models --grpc-port 0 --http-port 0 --metrics-port 0"
    choose = f"{sys.executable} -c 'from server.installation import scratch_parent; print(scratch_parent())'"
    script = f"""
        mount -t tmpfs -o noexec small {tmp_path}/noexec
        mount -t tmpfs -o size=1m small {tmp_path}/full
        TMPDIR={tmp_path}/noexec {choose}
        mount --bind {tmp_path}/models {tmp_path}/models && mount -o remount,ro,bind {tmp_path}/models
        {serve}
        mount -o remount,rw,bind {tmp_path}/models
        TMPDIR={tmp_path}/full {serve}
    """
    # A private mount; a user who is not root becomes root in a namespace.
    unshare = ["unshare", "-m"] if os.getuid() == 0 else ["unshare", "-rm"]
    line = [*unshare, "sh", "-c", script]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=WAIT_SECONDS)
    assert done.stdout == "/tmp\n"
    unwritable, full = done.stderr.splitlines()
    assert "(No space left on device): make room there, or set TMPDIR to another folder" in full
    assert "(Read-only file system)" in unwritable
    assert "copy it and name the copy with --repository" in unwritable


def test_without_any_folder_for_programs_each_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a b").mkdir()
    monkeypatch.setattr("server.installation.temporary_folders", lambda: [tmp_path / "none", tmp_path / "a b"])
    with pytest.raises(
        ServerError, match=r"none is no folder, .*a b has a path that a shell reads otherwise. Set TMPDIR"
    ):
        scratch_parent()


@pytest.fixture
def logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """More logs of ended servers than are kept, the newest first, and newer than any other on this machine."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    ended = subprocess.Popen(["true"])
    ended.wait()
    files = [tmp_path / f"relight-triton-{ended.pid}-{number}.log" for number in range(KEPT_LOGS + 3)]
    for age, file in enumerate(files):
        file.touch()
        os.utime(file, (2e9 - age, 2e9 - age))
    return files


def test_the_newest_logs_of_ended_servers_are_kept_and_those_of_living_ones(logs: list[Path]) -> None:
    mine = logs[0].with_name(f"relight-triton-{os.getpid()}-x.log")
    mine.touch()
    sweep_leftovers()
    assert [log.exists() for log in logs] == [True] * KEPT_LOGS + [False] * 3
    assert mine.exists()
