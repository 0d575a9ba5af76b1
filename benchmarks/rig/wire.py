"""Counts the bytes between a client and its server: a forwarder on a port of its own, for any protocol over TCP."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

PIECE = 1 << 16


@dataclass
class Wire:
    """What went through, both ways."""

    address: str  # host:port to connect to
    bytes: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def forward(self, source: socket.socket, target: socket.socket) -> None:
        """Copy one direction of a connection until it ends."""
        with suppress(OSError):
            while piece := source.recv(PIECE):
                with self.lock:
                    self.bytes += len(piece)
                target.sendall(piece)
            target.shutdown(socket.SHUT_WR)


@contextmanager
def counted(address: str) -> Iterator[Wire]:
    """Forward what comes to `Wire.address` to `address`, host:port, and back, until the block ends."""
    host, _, port = address.rpartition(":")
    entrance = socket.create_server((host, 0))
    wire = Wire(f"{host}:{entrance.getsockname()[1]}")
    connections = [entrance]
    threads: list[threading.Thread] = []

    def start(work: Callable[..., None], *arguments: socket.socket) -> None:
        threads.append(threading.Thread(target=work, args=arguments, daemon=True))
        threads[-1].start()

    def accept() -> None:
        with suppress(OSError):  # closed: the block has ended
            while True:
                client, _ = entrance.accept()
                server = socket.create_connection((host, int(port)))
                connections.extend((client, server))
                start(wire.forward, client, server)
                start(wire.forward, server, client)

    start(accept)
    try:
        yield wire
    finally:
        for end in connections:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)  # ends the wait of whoever waits in it
            end.close()
        for thread in threads:
            thread.join()
