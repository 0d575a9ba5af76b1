"""LitServe's server, run as `python -m benchmarks.peers.litserve_api HOST PORT`: every worker holds the networks."""

import json
import sys
from typing import Any

from litserve import LitAPI, LitServer
from starlette.requests import Request
from starlette.responses import Response

from benchmarks.peers.job import BATCH, WAIT
from benchmarks.peers.opencv_codecs import read_photo, write_png
from benchmarks.rig.lights import Light
from benchmarks.rig.networks import Networks, Pixels
from benchmarks.rig.places import CORES

Asked = tuple[Pixels, Light]


class RelightAPI(LitAPI):  # type: ignore[misc]  # LitServe has no types
    """Photo and light in, files out."""

    def setup(self, device: str) -> None:
        """Load the networks; one thread each, since there is a worker per core."""
        self.networks = Networks(threads=1)

    def decode_request(self, request: Request) -> Asked:
        """A form with the fields photo and light; LitServe hands it over as a mapping."""
        form: Any = request
        return read_photo(form["photo"].file.read()), json.loads(form["light"])

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
        files = {name: write_png(pixels) for name, pixels in output.items()}
        sizes = json.dumps({name: len(file) for name, file in files.items()})
        return Response(b"".join(files.values()), media_type="application/octet-stream", headers={"X-Sizes": sizes})


if __name__ == "__main__":
    api = RelightAPI(max_batch_size=BATCH, batch_timeout=WAIT)
    server = LitServer(api, accelerator="cpu", workers_per_device=CORES, timeout=False)
    server.run(host=sys.argv[1], port=int(sys.argv[2]), num_api_servers=1, generate_client_file=False)
