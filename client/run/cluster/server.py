"""The server of one node, a Ray actor: keeps `python -m server` running, on the same ports after each death."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Sequence

from client.errors import UnreachableError

_SERVES = re.compile(r"gRPC (\S+):(\d+) · HTTP \S+:(\d+) · metrics \S+:(\d+)/metrics")
_PORTS = ("--grpc-port", "--http-port", "--metrics-port")
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # where a server that listens everywhere is called
_KEPT_LINES = 5  # of what the server said last
_PAUSES = (1.0, 30.0)  # seconds before a start, after the first death and at most
_STOP_SECONDS = 60.0


class NodeServer:
    """Runs the embedded server from its creation on. What the server says is in the actor's log."""

    def __init__(self, gpus: int, options: Sequence[str]) -> None:
        """`options` are those of `python -m server`; for ports that they do not name, free ones are taken."""
        visible = os.environ.get("CUDA_VISIBLE_DEVICES") if gpus else None  # Ray says which are the actor's
        self._options = ["--gpus", f"{visible}," if visible else str(gpus), *options]
        self._ports = [word for flag in _PORTS for word in (flag, "0")]
        self._said: deque[str] = deque(maxlen=_KEPT_LINES)
        self._address, self._failed = "", False
        self._decided, self._over = threading.Event(), threading.Event()
        self._process: subprocess.Popen[str] | None = None
        self._thread = threading.Thread(target=self._keep, daemon=True)
        self._thread.start()

    def address(self) -> str:
        """Where the server answers, HOST:PORT. Waits until it does. Raises UnreachableError if it cannot be started."""
        self._decided.wait()
        if self._failed:
            raise UnreachableError(f"the server cannot be started ({' '.join(self._said)})")
        return self._address

    def close(self) -> None:
        """Stop the server, which ends the calls in flight first."""
        self._over.set()
        if self._process is not None:
            self._process.terminate()
        self._thread.join(_STOP_SECONDS)

    def _keep(self) -> None:
        """Start the server again and again. In one thread, as the kernel ends it with the thread that started it."""
        pause = _PAUSES[0]
        while not self._over.is_set():
            before = self._address
            if self._serve():
                pause = _PAUSES[0]
            elif not before:  # never up: a restart would not help
                self._failed = True
                self._decided.set()
                return
            self._over.wait(pause)
            pause = min(2 * pause, _PAUSES[1])

    def _serve(self) -> bool:
        """Run the server until it ends; return whether it came up."""
        command = [sys.executable, "-m", "server", *self._ports, *self._options]
        environment = {
            name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"
        }  # Ray sets it to 1
        with subprocess.Popen(
            # Ends with this process, whatever ends that.
            [sys.executable, "-m", "server.child", str(os.getpid()), *command],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            text=True,
        ) as self._process:
            assert self._process.stdout is not None
            if self._over.is_set():
                self._process.terminate()
            up = False
            for line in self._process.stdout:
                print(line, end="", flush=True)
                self._said.append(line.strip())
                if found := _SERVES.search(line):
                    up = True
                    host, *ports = found.groups()
                    self._address = f"{_EVERYWHERE.get(host, host)}:{ports[0]}"
                    # The same again after a death, so that clients find it.
                    self._ports = [word for flag, port in zip(_PORTS, ports, strict=True) for word in (flag, port)]
                    self._decided.set()
        return up
