"""With LitServe: an API class in a worker process per core, batches gathered from HTTP requests."""

import asyncio
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import aiohttp

from benchmarks.peers.job import IN_FLIGHT, Contestant, Job
from benchmarks.rig.lights import Row
from benchmarks.rig.places import ROOT
from server.child import __file__ as CHILD
from server.embedded import claim_ports

HOST = "127.0.0.1"
START_SECONDS, STOP_SECONDS = 120.0, 20.0


async def relight(session: aiohttp.ClientSession, address: str, job: Job, row: Row) -> None:
    """One request: a form with photo and light; the answer is the files one behind the other."""
    form = aiohttp.FormData()
    form.add_field("photo", job.path(row).read_bytes(), filename=row.photo)
    form.add_field("light", json.dumps(row.light))
    async with session.post(f"http://{address}/predict", data=form) as answer:
        answer.raise_for_status()
        sizes: dict[str, int] = json.loads(answer.headers["X-Sizes"])
        body = await answer.read()
    for name, size in sizes.items():
        job.write(row, {name: body[:size]})
        body = body[size:]


async def relight_all(job: Job, address: str) -> None:
    """Every row, so many at a time."""
    connector = aiohttp.TCPConnector(limit=IN_FLIGHT)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=None)) as session:
        await asyncio.gather(*(relight(session, address, job, row) for row in job.rows))


def run(job: Job, address: str) -> None:
    """An asynchronous client."""
    asyncio.run(relight_all(job, address))


@contextmanager
def family(folder: Path) -> Iterator[Mapping[str, Contestant]]:
    """LitServe's server as a process of its own, which ends with this one."""
    port = claim_ports(HOST, 0, 0, 0)[0]
    command = [sys.executable, "-m", "benchmarks.peers.litserve_api", HOST, str(port)]
    bound = [sys.executable, str(CHILD), str(os.getpid()), *command]
    process = subprocess.Popen(bound, cwd=ROOT, stdin=subprocess.DEVNULL)
    try:
        wait_until_healthy(process, f"http://{HOST}:{port}/health")
        yield {"litserve": Contestant(run, f"{HOST}:{port}")}
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()


def wait_until_healthy(process: "subprocess.Popen[bytes]", url: str) -> None:
    """Poll until every worker has loaded its networks. Raises RuntimeError."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"LitServe's server ended with exit code {process.returncode}")
        try:
            with urllib.request.urlopen(url, timeout=2.0):
                return
        except (urllib.error.URLError, TimeoutError):  # not listening, or 503: not ready
            time.sleep(0.1)
    raise RuntimeError(f"LitServe's server was not ready within {START_SECONDS:g} s")
