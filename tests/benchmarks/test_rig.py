"""What several benchmarks stand on: process trees, the count of bytes on the wire, command lines."""

import socket
import subprocess
import sys
import threading

import pytest

from benchmarks.__main__ import BENCHMARKS
from benchmarks.rig import processes
from benchmarks.rig.wire import counted
from tests.rig.places import ROOT


def test_cpu_time_of_children_that_have_ended_counts() -> None:
    burn = "import time\nwhile time.process_time() < 0.3: pass"
    shell = f"{sys.executable} -c '{burn}'; echo done; read line"
    with subprocess.Popen(["sh", "-c", shell], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert processes.cpu_seconds(process.pid) >= 0.25
        process.communicate(b"\n")


def test_the_wire_counts_both_directions() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                asked = b""
                while len(asked) < 1000:
                    asked += connection.recv(1000)
                connection.sendall(b"x" * 5000)

        thread = threading.Thread(target=answer)
        thread.start()
        with counted(f"127.0.0.1:{listener.getsockname()[1]}") as wire:
            host, _, port = wire.address.rpartition(":")
            with socket.create_connection((host, int(port))) as client:
                client.sendall(b"y" * 1000)
                received = 0
                while piece := client.recv(4096):
                    received += len(piece)
        thread.join()
    assert received == 5000
    assert wire.bytes == 6000


@pytest.mark.parametrize("name", BENCHMARKS)
def test_help_begins_with_what_a_command_does_and_an_example(name: str) -> None:
    command = [sys.executable, "-m", "benchmarks", name, "--help"]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    does, example, usage = (said.index(part) for part in (said[:20], f"example: python -m benchmarks {name}", "usage:"))
    assert does < example < usage
    assert "--json FILE" in said
