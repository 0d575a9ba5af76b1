"""Debian's Prometheus and Alertmanager: found on this machine or unpacked into build/, without root; and run."""

import json
import shutil
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest

from server.embedded import claim_ports
from tests.rig.places import REPOSITORY

ROOT = REPOSITORY.parent
BUILD = ROOT / "build" / "prometheus"
DASHBOARD = json.loads((ROOT / "docker/grafana/dashboards/relight.json").read_text())
LIMIT_SECONDS = 60.0  # seconds; it starts in under one on an idle machine


def dashboard_queries(node: str = ".*") -> list[str]:
    """What the dashboard's panels ask Prometheus, as Grafana sends it with the nodes that match `node` chosen."""
    return [target["expr"].replace("$node", node) for panel in DASHBOARD["panels"] for target in panel["targets"]]


def find_program(package: str = "prometheus") -> Path:
    """A program of its package's name, downloaded if need be.

    Where it cannot be had, which is no fault of ours, the test is skipped.
    """
    if installed := shutil.which(package):
        return Path(installed)
    program = BUILD / "usr" / "bin" / package
    if not program.exists():
        try:
            download(package)
        except (OSError, subprocess.CalledProcessError) as error:
            # The only programs that the tests need and no wheel brings: a laptop that is no Debian, or has no network,
            # must not fail for them. CI has both, so there the alerts and the dashboards are always tested.
            pytest.skip(f"there is no {package} on the PATH, and Debian's cannot be had ({error}): install it")
    return program


def download(package: str) -> None:
    """Unpack a package of Debian's into BUILD.

    Raises:
        OSError: this is no Debian.
        subprocess.CalledProcessError: its mirror cannot be reached.
    """
    for folder in ("lists/partial", "cache/archives/partial"):
        (BUILD / folder).mkdir(parents=True, exist_ok=True)
    own = ["-o", f"Dir::State::lists={BUILD / 'lists'}", "-o", f"Dir::Cache={BUILD / 'cache'}"]
    own += ["-o", "Dir::State::status=/var/lib/dpkg/status"]
    subprocess.run(["apt-get", *own, "--quiet", "update"], check=True, cwd=BUILD)
    subprocess.run(["apt-get", *own, "--quiet", "download", package], check=True, cwd=BUILD)
    (file,) = BUILD.glob(f"{package}_*.deb")
    subprocess.run(["dpkg", "--extract", file, BUILD], check=True)


@contextmanager
def prometheus(folder: Path, target: str, nodes: Sequence[str] = ()) -> Iterator[str]:
    """Run it with the project's own settings on the server whose metrics are at `target`; give its host:port.

    It scrapes the same server again for each of `nodes`, which a file lists.
    """
    own = shutil.ignore_patterns("nodes")  # an operator's
    shutil.copytree(ROOT / "docker" / "prometheus", folder / "settings", ignore=own)
    settings = folder / "settings" / "prometheus.yml"
    (folder / "settings" / "nodes").mkdir()
    listed = [{"targets": [target], "labels": {"node": node}} for node in nodes]
    (folder / "settings" / "nodes" / "cluster.yml").write_text(json.dumps(listed))  # JSON is YAML
    text = settings.read_text()
    assert text.count("relight:8002") == 1
    settings.write_text(text.replace("relight:8002", target).replace("scrape_interval: 5s", "scrape_interval: 1s"))
    address = f"127.0.0.1:{claim_ports('127.0.0.1', 0, 0, 0)[0]}"
    command = [str(find_program()), f"--config.file={settings}", f"--storage.tsdb.path={folder / 'data'}"]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen([*command, f"--web.listen-address={address}"], stdout=log, stderr=log)
    try:
        yield address
    finally:
        process.terminate()
        process.wait()


def ask(address: str, query: str) -> list[Any]:
    """The answer to a query; a query that it cannot read is an error."""
    with urllib.request.urlopen(f"http://{address}/api/v1/query?{urllib.parse.urlencode({'query': query})}") as answer:
        return list(json.load(answer)["data"]["result"])


def ask_until_answered(address: str, query: str) -> list[Any]:
    """The answer to a query, once there is one."""
    deadline = time.monotonic() + LIMIT_SECONDS
    while time.monotonic() < deadline:
        try:
            if found := ask(address, query):
                return found
        except urllib.error.URLError as error:
            if isinstance(error, urllib.error.HTTPError) and error.code != HTTPStatus.SERVICE_UNAVAILABLE:
                raise  # else it is starting
        time.sleep(0.1)
    raise AssertionError(f"no answer to {query}")
