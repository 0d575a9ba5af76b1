"""Triton's `encode`: the finished pixels → the files that the request asked for, and INFO."""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import triton_python_backend_utils as pb_utils

# Triton appends this folder to the path; in front, no installed package can take a name of ours.
sys.path.insert(0, str(Path(__file__).parent))

from contract.files import FilesError, parse_files
from contract.light import LIGHT, SCENE
from info import read_models, write_info
from pictures import Arrays, Job, Pictures

INPUTS = (
    *("ORIGINAL", "OUTPUT_PIXELS", "DEGRADED_PIXELS", "ALBEDO_OUT", "MASK", "ALPHA", "SHADING", "NORMAL", "HEIGHT"),
    *("FRAME", "BACKDROP_PIXELS", "SCORE", "BOX", "COUNT", "RESIDUAL", LIGHT, SCENE, "FILES"),
)
# Where a file's tensor is not called like the file: _FILE where the pixels come in by its name.
OUTPUTS = {name: f"{name.upper()}_FILE" for name in ("shading", "mask", "alpha", "normal")}


class TritonPythonModel:
    """Answers each request on its own: one without a person fails, its batch does not."""

    def initialize(self, args: dict[str, str]) -> None:
        """Read the parameters `threads` (default 1) and `changing`, and what the networks were exported from."""
        parameters = json.loads(args["model_config"]).get("parameters", {})
        threads = int(parameters.get("threads", {}).get("string_value", "1"))
        self.pool = ThreadPoolExecutor(threads) if threads > 1 else None
        changing = "changing" in parameters  # set by server/upgrade.py for as long as networks are exchanged
        self.models = read_models(Path(args["model_repository"]).parent, changing)

    def finalize(self) -> None:
        """Called once, before the model is unloaded."""
        if self.pool:
            self.pool.shutdown()

    def execute(self, requests: list[pb_utils.InferenceRequest]) -> list[pb_utils.InferenceResponse]:
        """One response per request, in order."""
        return [self._respond(request) for request in requests]

    def _respond(self, request: pb_utils.InferenceRequest) -> pb_utils.InferenceResponse:
        arrays = {name: pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in INPUTS}
        try:
            photos = [
                self._files({name: array[index] for name, array in arrays.items()})
                for index in range(len(arrays["ORIGINAL"]))
            ]
        except FilesError as error:
            # The caller's fault: HTTP 400, gRPC INVALID_ARGUMENT.
            refusal = pb_utils.TritonError(str(error), pb_utils.TritonError.INVALID_ARG)
            return pb_utils.InferenceResponse(error=refusal)
        except Exception as error:  # ours; raised, it would fail the other requests of the batch too
            pb_utils.Logger.log_error(traceback.format_exc())
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(f"encode has failed: {error}"))
        tensors = [pb_utils.Tensor(name, np.array([photo[name] for photo in photos], np.object_)) for name in photos[0]]
        return pb_utils.InferenceResponse(output_tensors=tensors)

    def _files(self, arrays: Arrays) -> dict[str, list[bytes]]:
        """The outputs of one photo, its arrays without a batch dimension. Raises FilesError."""
        files = parse_files(arrays["FILES"][0].decode("utf-8", "backslashreplace"))
        score = float(arrays["SCORE"][0])
        if arrays["COUNT"][0] == 0:
            raise FilesError(f"Nobody found, best score {score:.2f}: lower --score-threshold or change --prompt.")
        pictures = Pictures(files, arrays)
        groups = pictures.jobs()
        encoded = iter(self._run([job for group in groups.values() for job in group]))
        outputs = {OUTPUTS.get(name, name.upper()): [next(encoded) for _ in group] for name, group in groups.items()}
        height, width = pictures.cut.size
        frame = arrays["FRAME"]
        info = write_info(
            score=score,
            box=pictures.cut.box(arrays["BOX"]),
            count=int(arrays["COUNT"][0]),
            residual=float(arrays["RESIDUAL"][0]),
            size=(width, height),
            original=(int(frame[0]), int(frame[1])),
            crop=pictures.cut.within(frame[2:]),
            models=self.models,
        )
        return {**outputs, "INFO": [info]}

    def _run(self, jobs: list[Job]) -> Iterable[bytes]:
        """The files in order, on threads if there are any: the encoders let go of the GIL."""
        return self.pool.map(_call, jobs) if self.pool else map(_call, jobs)


def _call(job: Job) -> bytes:
    return job()
