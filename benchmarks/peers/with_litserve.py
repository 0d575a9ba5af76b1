"""With LitServe: an API class in a worker process per core, batches gathered from HTTP requests.

The server is this module run as `python -m benchmarks.peers.with_litserve HOST PORT`.
"""

import asyncio
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
from litserve import LitAPI, LitServer
from starlette.requests import Request
from starlette.responses import Response

from benchmarks import CORES, ROOT
from benchmarks.peers.contestants import BATCH, IN_FLIGHT, WAIT, Contestant, Job
from benchmarks.rig.lights import Light, Row
from benchmarks.rig.networks import Networks, Pixels, read_with_opencv, write_with_opencv
from server.child import __file__ as CHILD
from server.embedded import claim_ports

HOST = "127.0.0.1"
START_SECONDS, STOP_SECONDS = 120.0, 20.0
Asked = tuple[Pixels, Light]


class RelightAPI(LitAPI):  # type: ignore[misc]  # LitServe has no types
    """Photo and light in, files out."""

    def setup(self, device: str) -> None:
        """Load the networks; one thread each, since there is a worker per core."""
        self.networks = Networks(threads=1)

    def decode_request(self, request: Request) -> Asked:
        """A form with the fields photo and light; LitServe hands it over as a mapping."""
        form: Any = request
        return read_with_opencv(form["photo"].file.read()), json.loads(form["light"])

    def batch(self, inputs: list[Asked]) -> list[Asked]:
        """Leave requests as a list: the networks take them so."""
        return inputs

    def predict(self, asked: list[Asked]) -> list[dict[str, Pixels]]:
        """Relight a batch."""
        photos, lights = zip(*asked, strict=True)
        return self.networks.relight(photos, lights)

    def unbatch(self, output: list[dict[str, Pixels]]) -> list[dict[str, Pixels]]:
        """One answer per request."""
        return output

    def encode_response(self, output: dict[str, Pixels]) -> Response:
        """The files one behind the other, their sizes in a header."""
        files = {name: write_with_opencv(pixels) for name, pixels in output.items()}
        sizes = json.dumps({name: len(file) for name, file in files.items()})
        return Response(b"".join(files.values()), media_type="application/octet-stream", headers={"X-Sizes": sizes})


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
    command = [sys.executable, "-m", "benchmarks.peers.with_litserve", HOST, str(port)]
    bound = [sys.executable, str(CHILD), str(os.getpid()), *command]
    process = subprocess.Popen(bound, cwd=ROOT, stdin=subprocess.DEVNULL)
    try:
        wait_until_healthy(process, f"http://{HOST}:{port}/health")
        yield {"litserve": Contestant(run, f"{HOST}:{port}")}
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):  # whoever measures kills what is left of the tree
            process.wait(STOP_SECONDS)


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


if __name__ == "__main__":
    api = RelightAPI(max_batch_size=BATCH, batch_timeout=WAIT)
    server = LitServer(api, accelerator="cpu", workers_per_device=CORES, timeout=False)
    server.run(host=sys.argv[1], port=int(sys.argv[2]), num_api_servers=1, generate_client_file=False)
