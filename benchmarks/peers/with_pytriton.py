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

from benchmarks import CORES
from benchmarks.peers.contestants import BATCH, IN_FLIGHT, WAIT, Contestant, Job
from benchmarks.rig.lights import Row, light_tensors
from benchmarks.rig.networks import PICTURES, Networks, read_with_opencv, write_with_opencv
from contract.light import LIGHT, SCENE, WIDTHS
from contract.names import ENSEMBLE
from server.embedded import claim_ports
from server.installation import environment, find_installation

HOST = "127.0.0.1"


class Relight:
    """The function that PyTriton serves."""

    def __init__(self) -> None:
        self.networks = Networks(threads=CORES)
        self.pool = ThreadPoolExecutor(CORES)

    def relight(self, image: NDArray[Any], **light: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
        """Relight a batch: image bytes [B,1] and the numbers of its lights [B,…] → files, bytes [B,1] each."""
        photos = list(self.pool.map(read_with_opencv, image[:, 0]))
        pairs = zip(light[LIGHT].tolist(), light[SCENE].tolist(), strict=True)
        lights = [{LIGHT: tuple(map(tuple, sources)), SCENE: (tuple(scene),)} for sources, scene in pairs]
        done = self.networks.relight(photos, lights)
        files = list(self.pool.map(write_with_opencv, [row[name] for row in done for name in PICTURES]))
        table = np.array(files, object).reshape(len(done), len(PICTURES))
        return {name: table[:, index : index + 1] for index, name in enumerate(PICTURES)}


async def relight_all(job: Job, address: str) -> None:
    """Every row, so many at a time."""
    places = asyncio.Semaphore(IN_FLIGHT)
    async with AsyncioModelClient(f"grpc://{address}", ENSEMBLE) as client:

        async def relight(row: Row) -> None:
            async with places:
                light = {name: rows[0, 0] for name, rows in light_tensors([[row.light]]).items()}
                image = np.array([job.path(row).read_bytes()], object)
                files = await client.infer_sample(image=image, **light)
            job.write(row, {name: file[0] for name, file in files.items()})

        await asyncio.gather(*map(relight, job.rows))


def run(job: Job, address: str) -> None:
    """PyTriton's own asynchronous client."""
    asyncio.run(relight_all(job, address))


@contextmanager
def family(folder: Path) -> Iterator[Mapping[str, Contestant]]:
    """PyTriton's server, the function in this process."""
    os.environ["LD_LIBRARY_PATH"] = environment(find_installation())["LD_LIBRARY_PATH"]  # of its Python processes
    grpc_port, http_port, metrics_port = claim_ports(HOST, 0, 0, 0)
    addresses = dict.fromkeys(("grpc_address", "http_address", "metrics_address"), HOST)
    config = TritonConfig(**addresses, grpc_port=grpc_port, http_port=http_port, metrics_port=metrics_port)
    lights = [
        Tensor(name=LIGHT, dtype=np.float32, shape=(-1, WIDTHS[LIGHT])),
        Tensor(name=SCENE, dtype=np.float32, shape=(WIDTHS[SCENE],)),
    ]
    batcher = DynamicBatcher(max_queue_delay_microseconds=round(WAIT * 1e6))
    with Triton(config=config, workspace=folder / "pytriton") as server:
        server.bind(
            model_name=ENSEMBLE,
            infer_func=batch(Relight().relight),
            inputs=[Tensor(name="image", dtype=bytes, shape=(1,)), *lights],
            outputs=[Tensor(name=name, dtype=bytes, shape=(1,)) for name in PICTURES],
            config=ModelConfig(max_batch_size=BATCH, batcher=batcher),
        )
        server.run()
        yield {"pytriton": Contestant(run, f"{HOST}:{grpc_port}")}
