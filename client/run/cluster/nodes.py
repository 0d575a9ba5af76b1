"""The nodes of a Ray cluster: finding it, the nodes that work, and actors that stay on their node."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.util import list_named_actors
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from client.errors import UnreachableError

_ROOT = Path(__file__).resolve().parents[3]  # where `client` is imported from; the nodes have it at the same place
_ANSWER_SECONDS = 10.0
_GONE_SECONDS = 30.0  # for the actors of a driver that was killed
# Of this process and of actors: Ray counts calls by their names, which are as many as blocks, and keeps 6 KB of each.
_UNCOUNTED = {"RAY_enable_metrics_collection": "false"}
# Of a Ray of our own: actors have the priority of a plain run, not the least, and no processes start that nobody uses.
_LOCAL = {
    "RAY_worker_niceness": "0",
    "RAY_enable_worker_prestart": "false",
    "RAY_prestart_worker_first_driver": "false",
}


@dataclass(frozen=True)
class Node:
    """A machine of the cluster."""

    id: str
    name: str  # of its host; with the beginning of its id where several have one
    address: str
    gpus: int


def join(address: str, namespace: str) -> None:
    """Connect to the cluster at `address`, as --ray has it; `namespace` is that of the actors.

    Raises UnreachableError.
    """
    ours, further = {"RAY_USAGE_STATS_ENABLED": "0", **_UNCOUNTED}, dict[str, Any]()
    if address == "local":
        ours |= _LOCAL
        further = {"include_dashboard": False}
    elif address.startswith("ray://"):  # a process of the cluster stands for this one, and reads what actors are given
        further = {"runtime_env": _environment()}
    for name, value in ours.items():
        os.environ.setdefault(name, value)
    try:
        host, _, port = address.rpartition(":")
        if host and "/" not in host:  # Ray would wait for minutes
            socket.create_connection((host.strip("[]"), int(port)), _ANSWER_SECONDS).close()
        ray.init(
            address=address,
            namespace=namespace,
            log_to_driver=False,
            logging_level=logging.ERROR,
            **further,
        )
    except Exception as error:  # of many kinds
        lines = str(error).strip().splitlines() or [type(error).__name__]
        reason = f"{lines[0]} {lines[-1]}" if lines[0].endswith(":") else lines[0]
        raise UnreachableError(
            f"there is no Ray cluster at --ray {address} ({reason}); start one with `ray start --head`, or use this "
            "machine alone with --ray local"
        ) from error


def working_nodes() -> list[Node]:
    """The nodes that work: those with CPUs, which a head node may have 0 of, and if any has GPUs, those with GPUs."""
    all_nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    alive = [one for one in all_nodes if one["Alive"] and one["Resources"].get("CPU", 0) > 0]
    names = Counter(one["NodeManagerHostname"] for one in alive)
    nodes = []
    for one in alive:
        host, gpus = one["NodeManagerHostname"], int(one["Resources"].get("GPU", 0))
        name = host if names[host] == 1 else f"{host}-{one['NodeID'][:4]}"
        nodes.append(Node(one["NodeID"], name, one["NodeManagerAddress"], gpus))
    return [node for node in nodes if node.gpus] or nodes


def actor_on(node: Node, kind: type, name: str, *given: object, **options: object) -> Any:
    """A new actor of class `kind` on a node, which is made with `given`; it takes no CPU of the node's."""
    return call_on(node, kind, *given, name=f"{name} on {node.name} ({_driver()})", **options)


def call_on(node: Node, called: Callable[..., object], *given: object, **options: object) -> Any:
    """Call a function, or make an actor of a class, on a node: its result to come. It takes no CPU of the node's."""
    strategy = NodeAffinitySchedulingStrategy(node.id, soft=False)
    options = {"num_cpus": 0, "scheduling_strategy": strategy, "runtime_env": _environment(), **options}
    return ray.remote(called).options(**options).remote(*given)


def end_orphans() -> None:
    """End what a driver that was killed has left in the namespace, before Ray does; no other driver may run in it.

    Raises UnreachableError if Ray cannot.
    """
    deadline = time.monotonic() + _GONE_SECONDS
    while orphans := [name for name in list_named_actors() if not name.endswith(f"({_driver()})")]:
        if time.monotonic() > deadline:
            raise UnreachableError(f"Ray cannot end what another run into the folder has left: {', '.join(orphans)}")
        for name in orphans:
            try:
                ray.kill(ray.get_actor(name))
            except ValueError:  # it has ended
                continue
        time.sleep(0.1)


def _environment() -> dict[str, Any]:
    """The environment of actors, in which they find the code."""
    paths = filter(None, (str(_ROOT), os.environ.get("PYTHONPATH")))
    return {"env_vars": {"PYTHONPATH": os.pathsep.join(paths), **_UNCOUNTED}}


def _driver() -> str:
    return f"job {ray.get_runtime_context().get_job_id()}"
