"""With PyTriton: a Python function bound to Triton, which batches its calls; decoding and encoding in its threads."""

import asyncio
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pytriton.client import AsyncioModelClient
from pytriton.decorators import batch
from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

from benchmarks.peers.contestant import Contestant
from benchmarks.peers.job import BATCH, IN_FLIGHT, PICTURES, WAIT, Job, Row
from benchmarks.peers.networks import Networks, read_photo, write_png
from server.embedded import claim_ports
from server.installation import environment, find_installation

CORES = len(os.sched_getaffinity(0))
MODEL = "relight"
HOST = "127.0.0.1"


class Relight:
    """The function that PyTriton serves."""

    def __init__(self) -> None:
        self.networks = Networks(threads=CORES)
        self.pool = ThreadPoolExecutor(CORES)

    def relight(self, image: NDArray[Any], light: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
        """Relight a batch: image bytes [B,1] and light float32 [B,16] → files, bytes [B,1] each."""
        photos = list(self.pool.map(read_photo, image[:, 0]))
        done = self.networks.relight(photos, light)
        files = list(self.pool.map(write_png, [row[name] for row in done for name in PICTURES]))
        table = np.array(files, object).reshape(len(done), len(PICTURES))
        return {name: table[:, index : index + 1] for index, name in enumerate(PICTURES)}


async def relight_all(job: Job, address: str) -> None:
    """Every row, so many at a time."""
    places = asyncio.Semaphore(IN_FLIGHT)
    async with AsyncioModelClient(f"grpc://{address}", MODEL) as client:

        async def relight(row: Row) -> None:
            async with places:
                image = np.array([job.path(row).read_bytes()], object)
                files = await client.infer_sample(image=image, light=np.array(row.light, np.float32))
            for name, file in files.items():
                job.picture(row, name).write_bytes(file[0])

        await asyncio.gather(*map(relight, job.rows))


def run(job: Job, address: str) -> None:
    """PyTriton's own asynchronous client."""
    asyncio.run(relight_all(job, address))


@contextmanager
def family(folder: Path) -> Iterator[Mapping[str, Contestant]]:
    """PyTriton's server, the function in this process."""
    libraries = environment(find_installation())["LD_LIBRARY_PATH"]  # of its Python processes
    os.environ["LD_LIBRARY_PATH"] = libraries
    grpc_port, http_port, metrics_port = claim_ports(HOST, 0, 0, 0)
    config = TritonConfig(
        grpc_address=HOST,
        grpc_port=grpc_port,
        http_address=HOST,
        http_port=http_port,
        metrics_address=HOST,
        metrics_port=metrics_port,
    )
    with Triton(config=config, workspace=folder / "pytriton") as server:
        server.bind(
            model_name=MODEL,
            infer_func=batch(Relight().relight),
            inputs=[Tensor(name="image", dtype=bytes, shape=(1,)), Tensor(name="light", dtype=np.float32, shape=(16,))],
            outputs=[Tensor(name=name, dtype=bytes, shape=(1,)) for name in PICTURES],
            config=ModelConfig(
                max_batch_size=BATCH, batcher=DynamicBatcher(max_queue_delay_microseconds=round(WAIT * 1e6))
            ),
        )
        server.run()
        yield {"pytriton": Contestant(run, f"{HOST}:{grpc_port}")}
