"""Promises about disks that are full, read-only or hold unreadable photos: one line per failure, the rest is done."""

import os
import subprocess
import sys
from pathlib import Path

from tests.rig.places import ROOT
from tests.rig.runs import Server, lines, recorded, relight, running, small_table, told, tree, wait_for

OPTIONS = ("--quiet", "--window", "1", "--files", "mask")
WAIT_SECONDS = 60.0  # what is waited for takes under 5 on an idle machine


def test_photos_that_cannot_be_read_fail_alone(server: Server, tmp_path: Path) -> None:
    table = small_table(tmp_path, "a.png", "b.png", "c.png", "late.png")
    (tmp_path / "folder").mkdir()
    # The kernel refuses to read the first bytes of a process's memory, even to root.
    table.write_text("image_path\na.png\nfolder\n/proc/self/mem\nb.png\nc.png\nlate.png\n")
    with running(server.grpc_url, table, tmp_path / "out", *OPTIONS) as client:
        wait_for(lambda: len(recorded(tmp_path / "out")) > 0, WAIT_SECONDS)
        (tmp_path / "late.png").unlink()
        assert client.wait(WAIT_SECONDS) == 1
    failures = {line["image_path"]: line["cause"] for line in lines(tmp_path / "out" / "small" / "failed.csv")}
    assert list(failures) == ["folder", "/proc/self/mem", "late.png"]
    assert "is a folder; image_path must name a file" in failures["folder"]
    assert "/proc/self/mem cannot be read (Input/output error)" in failures["/proc/self/mem"]
    assert "there is no file" in failures["late.png"]
    for cause in failures.values():
        assert sum(cause in line and line.startswith("row ") for line in told(tmp_path / "out").splitlines()) == 1
    assert [bool(line["error"]) for line in lines(tmp_path / "out" / "small.csv")] == [
        False,
        True,
        True,
        *[False] * 2,
        True,
    ]


def test_a_full_or_read_only_disk_ends_the_run_in_a_sentence_and_space_resumes_it(
    server: Server, tmp_path: Path
) -> None:
    table = small_table(tmp_path, *(f"{name}.png" for name in "abcdef"))
    options = ("--quiet", "--window", "1", "--files", "albedo,mask")
    assert relight(server, table, tmp_path / "undisturbed", *options) == 0
    (tmp_path / "disk").mkdir()
    command = [sys.executable, str(ROOT / "client" / "run_csv.py"), "--csv", str(table)]
    relight_there = " ".join([*command, "--output", str(tmp_path / "disk"), "--url", server.grpc_url, *options])
    script = f"""
        set -e
        cd {tmp_path}
        mount -t tmpfs -o size=400k small disk
        {relight_there} 2> full.txt && false || echo $? > full.code
        mount -o remount,ro disk
        {relight_there} 2> read_only.txt && false || echo $? > read_only.code
        mount -o remount,rw,size=64m disk
        {relight_there}
        cp -r disk done
    """
    # A private mount; a user who is not root becomes root in a namespace.
    unshare = ["unshare", "-m"] if os.getuid() == 0 else ["unshare", "-rm"]
    subprocess.run([*unshare, "sh", "-c", script], check=True, timeout=4 * WAIT_SECONDS)
    said = {name: (tmp_path / f"{name}.txt").read_text() for name in ("full", "read_only")}
    assert (tmp_path / "full.code").read_text() == "1\n"
    assert said["full"].count("No space left on device") == 1
    assert "the same command resumes the run" in said["full"]
    assert (tmp_path / "read_only.code").read_text() == "2\n"
    assert said["read_only"].count("Read-only file system") == 1
    assert not any("Traceback" in text for text in said.values())
    assert tree(tmp_path / "done") == tree(tmp_path / "undisturbed")
    assert sorted(recorded(tmp_path / "done")) == list(range(6))
