"""Where a cluster is and what serves on its nodes, as the command line says. Without Ray."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Where:
    """The options of --ray."""

    address: str  # as Ray has it: auto, local, ray://HOST:PORT or HOST:PORT
    urls: tuple[str, ...]  # of servers that run; {node} stands for a node's address; none: each node gets its own
    server_options: tuple[str, ...]  # of `python -m server`
    processes: int  # clients of each node
