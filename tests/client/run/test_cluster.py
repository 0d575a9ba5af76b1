"""Promises of --ray: whatever dies, every row is there once, with the bytes of a run on one machine.

Three nodes of Ray's own on this machine, real servers, and the command as a process of its own.
"""

import json
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from ray.cluster_utils import Cluster

from client.run.cluster.blocks import BLOCK_ROWS
from client.run.cluster.own_folder import own_folder
from client.run.cluster.server import NodeServer
from tests.client.run.s3_server import BUCKET, Store, running_store
from tests.rig.photos import portrait
from tests.rig.runs import Server, lines, recorded, relight, running, small_table, started, told, tree, wait_for

WORKER: dict[str, Any] = {"num_cpus": 1, "object_store_memory": 80_000_000}
WAIT_SECONDS = 240.0  # what is waited for takes under 20 on an idle machine, and 130 beside three busy processes
TARS = ("--dataset", "webdataset", "--rows-per-tar", "40")
OPTIONS = ("--files", "mask", "--quiet", "--wait-for-server", str(WAIT_SECONDS), *TARS)
ROWS, EVERY = 3 * BLOCK_ROWS, 8  # a photo in every 8th row; the others name none, and fail at once


class DeadlySite(ThreadingHTTPServer):
    """Has no photo and, while it is deadly, ends the process that asks for one."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.is_deadly = False

    def handle_error(self, *_: object) -> None:
        """Say nothing of clients that have gone."""


class _Handler(BaseHTTPRequestHandler):
    server: DeadlySite

    def do_GET(self) -> None:
        """Answer as the site is."""
        if self.server.is_deadly:
            port = self.client_address[1]
            asking = (one.pid for one in psutil.net_connections("tcp4") if one.laddr and one.laddr.port == port)
            for pid in set(asking) - {None, os.getpid()}:
                os.kill(int(pid or 0), signal.SIGKILL)
        else:
            self.send_error(404)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    """A store whose keys the nodes of the cluster have too."""
    with running_store() as running:
        yield running


@pytest.fixture(scope="module")
def cluster(store: Store) -> Iterator[Cluster]:
    """Three nodes: a head that is started without CPUs, so that it gets no rows, and two that work."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_enable_worker_prestart", "false")  # of processes that nobody would use here
        patch.setenv("RAY_prestart_worker_first_driver", "false")
        yield from three_nodes()


def three_nodes() -> Iterator[Cluster]:
    """Ray's own cluster on this machine."""
    head = {"num_cpus": 0, "object_store_memory": 80_000_000, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        for _ in range(2):
            cluster.add_node(wait=False, **WORKER)
        cluster.wait_for_nodes()
        yield cluster
    finally:
        cluster.shutdown()  # type: ignore[no-untyped-call]


@pytest.fixture(scope="module")
def plain(plain_repository: Path) -> Iterator[Server]:
    """A server beside the cluster, kept running: Triton before 24.12 may crash when a client is killed in a call."""
    kept = NodeServer(0, ["--repository", str(plain_repository)])
    yield SimpleNamespace(grpc_url=kept.address())
    kept.close()


@pytest.fixture
def site() -> Iterator[DeadlySite]:
    """The site, not deadly yet."""
    with DeadlySite() as site:
        threading.Thread(target=site.serve_forever, args=(0.01,), daemon=True).start()
        yield site
        site.shutdown()


@pytest.fixture
def table(site: DeadlySite, tmp_path: Path) -> Path:
    """Rows whose last one has its photo at the site."""
    folder = tmp_path / "photos"
    folder.mkdir()
    names = [f"missing {row}.png" for row in range(ROWS)]
    for row in range(0, ROWS, EVERY):
        names[row] = f"{row}.png"
        portrait(48 + row // EVERY, 64).save(folder / names[row])
    path = folder / "photos.csv"
    last = f"http://127.0.0.1:{site.server_port}/photo.png"
    path.write_text("".join(f"{name}\n" for name in ("image_path", *names, last)))
    return path


def kill_servers(cluster: Cluster) -> int:
    """Kill all processes of the servers of all nodes, Triton's and `python -m server`; return how many they were."""
    killed = 0
    for node in cluster.list_all_nodes():  # type: ignore[no-untyped-call]
        with suppress(psutil.NoSuchProcess):  # the node is starting, or has gone
            for one in psutil.Process(node.all_processes["raylet"][0].process.pid).children(recursive=True):
                with suppress(psutil.NoSuchProcess):  # its parent was killed before
                    if "server" in one.cmdline()[2:3] or one.name().startswith("triton"):
                        one.kill()
                        killed += 1
    return killed


def photos_done(output: Path) -> int:
    """How many rows with a photo are done."""
    return len({row for row in recorded(output) if row % EVERY == 0})


def test_lost_nodes_servers_drivers_and_clients_cost_no_row(
    cluster: Cluster,
    plain: Server,
    plain_repository: Path,
    site: DeadlySite,
    table: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(table.parent)  # as the command's process
    single, output = tmp_path / "single", tmp_path / "cluster"
    assert relight(plain, table, single, *OPTIONS) == 1
    site.is_deadly = True
    ray = ("--ray", cluster.address)
    with running("", table, output, *OPTIONS, *ray, "--server-options", f"--repository {plain_repository}"):
        wait_for(lambda: photos_done(output) > 2, WAIT_SECONDS)
        assert kill_servers(cluster)  # first, so that rows are left for what follows, however long it takes
        done = photos_done(output)
        assert done < len(range(0, ROWS, EVERY)) - 10
        cluster.remove_node(cluster.worker_nodes.copy().pop(), allow_graceful=False)
        cluster.add_node(wait=False, **WORKER)
        wait_for(lambda: photos_done(output) > done + 2, WAIT_SECONDS)
    assert "Traceback" not in told(output)  # and the driver is killed
    summary = tmp_path / "summary.json"
    with running(plain.grpc_url, table, output, *OPTIONS, *ray, "--summary", str(summary)) as driver:
        driver.wait(WAIT_SECONDS)
    assert driver.returncode == 1, told(output)
    assert "Traceback" not in told(output)
    ours, theirs = tree(output), tree(single)
    tables = {"photos.csv", "photos/failed.csv"}
    assert {name: ours[name] for name in ours.keys() - tables} == {
        name: theirs[name] for name in theirs.keys() - tables
    }
    rows, expected = lines(output / "photos.csv"), lines(single / "photos.csv")
    assert rows[:-1] == expected[:-1]
    assert rows[-1]["error"].startswith("clients of the cluster ended 3 times with this row"), rows[-1]
    assert json.loads(summary.read_text())["rows_failed"] == sum(bool(row["error"]) for row in expected)


def test_a_store_has_each_row_once_whichever_client_was_lost(
    cluster: Cluster, plain: Server, store: Store, site: DeadlySite, tmp_path: Path
) -> None:
    table = small_table(tmp_path, *(f"{name}.png" for name in "abcdefghijk"))
    with table.open("a") as more:
        more.write(f"http://127.0.0.1:{site.server_port}/photo.png\n")
    options = ("--files", "mask", "--quiet", "--dataset", "webdataset", "--rows-per-tar", "2")
    assert relight(plain, table, tmp_path / "disk", *options) == 1
    site.is_deadly = True
    place, work = f"s3://{BUCKET}/cluster", ("--work", str(tmp_path / "work"))
    with started(plain.grpc_url, table, place, *options, *work, "--ray", cluster.address) as driver:
        _, said = driver.communicate(timeout=WAIT_SECONDS)
    assert driver.returncode == 1, said
    ours, theirs = store.objects("cluster"), tree(tmp_path / "disk")
    assert ours.keys() == theirs.keys(), said
    assert {name for name, content in ours.items() if content != theirs[name]} == {"small.csv", "small/failed.csv"}
    expected = theirs["small.csv"].decode().splitlines()
    rows = ours["small.csv"].decode().splitlines()
    assert rows[:-1] == expected[:-1]
    assert "clients of the cluster ended 3 times with this row" in rows[-1]
    assert not list((tmp_path / "work").rglob("client-*"))  # nor what the killed ones had


def test_a_client_removes_the_folders_of_killed_ones_alone(tmp_path: Path) -> None:
    output = tmp_path / "work" / "run"
    with own_folder(output) as used:
        left = output.parent / "client-killed"
        left.mkdir()
        with own_folder(output) as other:
            assert not left.exists()
            assert used.parent.exists()
            assert used != other
    assert not list(output.parent.glob("client-*"))
