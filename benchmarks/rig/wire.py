"""Counts the bytes between a client and its server: a forwarder on a port of its own, for any protocol over TCP."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

PIECE = 1 << 16


@dataclass
class Wire:
    """What went through, both ways."""

    address: str  # host:port to connect to
    bytes: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, count: int) -> None:
        """Count."""
        with self.lock:
            self.bytes += count


@contextmanager
def counted(address: str) -> Iterator[Wire]:
    """Forward what comes to `Wire.address` to `address`, host:port, and back, until the block ends."""
    host, _, port = address.rpartition(":")
    entrance = socket.create_server((host, 0))
    wire = Wire(f"{host}:{entrance.getsockname()[1]}")
    connections: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def accept() -> None:
        with suppress(OSError):  # closed: the block has ended
            while True:
                client, _ = entrance.accept()
                server = socket.create_connection((host, int(port)))
                connections.extend((client, server))
                for source, target in ((client, server), (server, client)):
                    threads.append(threading.Thread(target=forward, args=(source, target, wire), daemon=True))
                    threads[-1].start()

    listener = threading.Thread(target=accept, daemon=True)
    listener.start()
    try:
        yield wire
    finally:
        for end in (entrance, *connections):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)  # wakes who waits in it
            end.close()
        for thread in (listener, *threads):
            thread.join()


def forward(source: socket.socket, target: socket.socket, wire: Wire) -> None:
    """Copy one direction of a connection until it ends."""
    with suppress(OSError):
        while piece := source.recv(PIECE):
            wire.add(len(piece))
            target.sendall(piece)
        target.shutdown(socket.SHUT_WR)
