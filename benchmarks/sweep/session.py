"""One server under the sweep: plans points, loads models for them and measures them, records each at once."""

import argparse
import json
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeAlias

from google.protobuf.json_format import MessageToJson
from tritonclient.grpc import InferenceServerClient, model_config_pb2
from tritonclient.utils import InferenceServerException

from benchmarks.rig.lights import WHITE, Tensors
from benchmarks.rig.perf_analyzer import find_perf_analyzer
from benchmarks.rig.report import BenchmarkError
from benchmarks.rig.triton import METRICS_ARGUMENT, ask_for, serving, to_inputs, write_input_data
from benchmarks.sweep.measure import Load, MeasurementFailedError, measure
from benchmarks.sweep.points import Measurement, Plan, Point, append_point, check_same, left, read_points, write_plan
from contract.names import ENSEMBLE
from server.derive import this_machine
from server.tensorrt import fit_batch

# Every model is loaded, and any of them again on request.
SERVER_ARGUMENTS = ("--model-control-mode=explicit", "--load-model=*", METRICS_ARGUMENT)
REQUESTS_ON_CPU, REQUESTS_ON_GPU = 32, 1000  # some seconds on either
KIND_GPU = model_config_pb2.ModelInstanceGroup.Kind.Value("KIND_GPU")
Config: TypeAlias = model_config_pb2.ModelConfig


def resize(config: Config, batch: int, instances: int, *, on_gpu: bool) -> Config:
    """Return a copy of a config for batches of `batch` and `instances` instances on each of its GPUs.

    Where nothing is served on a GPU (not `on_gpu`), models wait in proportion to their batch: see server/derive.py.
    """
    sized = Config()
    sized.CopyFrom(config)
    sized.max_batch_size = batch
    # Triton answers with the sizes it prefers by default; they must not outlast the max_batch_size they come from.
    if sized.HasField("dynamic_batching"):
        sized.dynamic_batching.ClearField("preferred_batch_size")
        if not on_gpu:
            wait = sized.dynamic_batching.max_queue_delay_microseconds
            sized.dynamic_batching.max_queue_delay_microseconds = wait * batch // config.max_batch_size
    fit_batch(sized)
    for warmup in sized.model_warmup:
        warmup.batch_size = min(warmup.batch_size, batch)
    for group in sized.instance_group:
        if group.kind == KIND_GPU:
            group.count = instances
    return sized


class Loader:
    """The models of one server: as they were when the loader was made, and as they are loaded now."""

    def __init__(self, client: InferenceServerClient) -> None:
        """Read the configs of the ensemble and its members. Raises InferenceServerException."""
        self._client = client
        ensemble = client.get_model_config(ENSEMBLE).config
        self.members = [step.model_name for step in ensemble.ensemble_scheduling.step]
        self._served = {name: client.get_model_config(name).config for name in (ENSEMBLE, *self.members)}
        self._changed: dict[str, tuple[int, int]] = {}
        groups = [group for config in self._served.values() for group in config.instance_group]
        self.on_gpu = any(group.kind == KIND_GPU for group in groups)

    def parts(self, model: str) -> list[str]:
        """The models that a point of `model` loads: itself, or the members of the ensemble."""
        return self.members if model == ENSEMBLE else [model]

    def instances_per_gpu(self, model: str) -> int:
        """How many instances a model is served with on a GPU, 1 on a CPU; of the ensemble, the most of its members."""
        groups = [group for name in self.parts(model) for group in self._served[name].instance_group]
        return max((group.count for group in groups if group.kind == KIND_GPU), default=1)

    def total_instances(self, model: str, instances: int) -> int:
        """Instances of a model with `instances` on each of its GPUs; of the ensemble, the fewest of its members."""
        return min(
            sum(instances * len(group.gpus) if group.kind == KIND_GPU else group.count for group in groups)
            for groups in (self._served[name].instance_group for name in self.parts(model))
        )

    def open_ensemble(self) -> None:
        """Let the ensemble take single photos only: then its members may have any batch size, larger or smaller.

        Raises BenchmarkError: the server does not take a model's config from a client.
        """
        try:
            self._load(ENSEMBLE, resize(self._served[ENSEMBLE], 1, 1, on_gpu=self.on_gpu))
        except InferenceServerException as error:
            raise BenchmarkError(
                f"The server does not load models on request ({error.message()}): "
                "start it with --model-control-mode=explicit --load-model=*, or as `python -m server --model-control`."
            ) from error

    def load(self, point: Point) -> bool:
        """Load what a point asks for, all else as it was; return whether anything had to be loaded.

        Raises InferenceServerException: a model cannot be loaded so; Triton's reason is in it.
        """
        size = (point.batch, point.instances)
        wanted = dict.fromkeys(self.parts(point.model), size)
        if wanted == self._changed:
            return False
        self.restore(keep=wanted)
        for model in wanted:
            if self._changed.get(model) != size:
                self._changed[model] = (0, 0)  # whatever a load that fails leaves behind
                self._load(model, resize(self._served[model], *size, on_gpu=self.on_gpu))
                self._changed[model] = size
        return True

    def restore(self, keep: Collection[str] = ()) -> None:
        """Load the members as they were, less those to `keep`. Raises InferenceServerException."""
        for model in [model for model in self._changed if model not in keep]:
            self._load(model, self._served[model])
            del self._changed[model]

    def close(self) -> None:
        """Load everything as it was."""
        self.restore()
        self._load(ENSEMBLE, self._served[ENSEMBLE])

    def _load(self, model: str, config: Config) -> None:
        self._client.load_model(model, config=MessageToJson(config, preserving_proto_field_name=True))


@contextmanager
def swept_server(options: argparse.Namespace) -> Iterator[tuple[str, str | None]]:
    """host:port of gRPC and of the metrics: of --url, or of an embedded server for as long as the block lasts.

    Raises ServerError: the embedded server does not start.
    """
    if options.url is not None:
        yield options.url, options.metrics_url
        return
    with serving(options.repository, this_machine(options.gpus), extra=SERVER_ARGUMENTS) as server:
        yield server.grpc_url, server.metrics_url


def measure_points(
    options: argparse.Namespace, settings: dict[str, Any], plan: Plan | None, grpc_url: str, metrics_url: str | None
) -> Plan:
    """Measure what is left of a plan, made here unless there is one, until all is done or the embedded server fails.

    Raises BenchmarkError, InferenceServerException: the options do not fit the server; it has failed or does not load
    models on request; its networks are not those of the points in the output folder.
    """
    with InferenceServerClient(grpc_url) as client, tempfile.TemporaryDirectory() as name:
        loader = Loader(client)
        known = (ENSEMBLE, *loader.members)
        if unknown := [model for model in options.models if model not in known]:
            raise BenchmarkError(f"The ensemble has no model {unknown[0]!r}; --models takes {', '.join(known)}.")
        photos = [follow(client, photo, options.prompt) for photo in options.photos]
        networks = photos[0][1]
        if plan is None:
            plan = Plan(settings, networks, make_points(options, loader))
            write_plan(options.output, plan)
        check_same(options.output, "networks", plan.networks, networks)
        inputs = {
            model: write_input_data(Path(name) / f"{model}.json", [given[model] for given, _ in photos])
            for model in options.models
        }
        requests = options.measurement_requests or (REQUESTS_ON_GPU if loader.on_gpu else REQUESTS_ON_CPU)
        load = Load(find_perf_analyzer(), grpc_url, metrics_url, requests, options.timeout, options.extra)
        loader.open_ensemble()
        try:
            points = left(plan, read_points(options.output))
            for number, point in enumerate(points, len(plan.points) - len(points) + 1):
                measurement = measure_or_find(client, loader, point, inputs[point.model], load)
                append_point(options.output, measurement)
                print(f"{number}/{len(plan.points)} {measurement}", flush=True)
                if measurement.finding:
                    loader.restore()
        except InferenceServerException as error:
            if options.url is not None:
                raise BenchmarkError(
                    f"The server at {options.url} does not recover ({error.message()}): "
                    "start it again, and the same command resumes with the next point."
                ) from error
        finally:
            with suppress(InferenceServerException):  # of a server that is gone there is nothing to restore
                if options.url is not None:
                    loader.close()
    return plan


def measure_or_find(client: InferenceServerClient, loader: Loader, point: Point, data: Path, load: Load) -> Measurement:
    """Load and measure a point; what prevents it, such as too little memory, is the finding."""
    try:
        cold = loader.load(point) and loader.on_gpu
    except InferenceServerException as error:
        return Measurement(point, finding=f"cannot be loaded: {error.message()}")
    try:
        return measure(client, point, loader.parts(point.model), data, load, cold=cold)
    except MeasurementFailedError as error:
        return Measurement(point, finding=f"fails: {error}")
    except InferenceServerException as error:
        return Measurement(point, finding=f"fails: {error.message()}")


def follow(client: InferenceServerClient, photo: Path, prompt: str) -> tuple[dict[str, Tensors], dict[str, Any]]:
    """Send a photo through the ensemble's members one after the other, as its config connects them.

    Returns what each model is given, the ensemble included, and what the ensemble says its networks are.
    Raises BenchmarkError: a model refuses the photo.
    """
    request = ask_for(photo.read_bytes(), [WHITE], prompt)
    inputs, known = {ENSEMBLE: request}, dict(request)
    for step in client.get_model_config(ENSEMBLE).config.ensemble_scheduling.step:
        given = {name: known[tensor] for name, tensor in step.input_map.items()}
        inputs[step.model_name] = given
        try:
            answer = client.infer(step.model_name, to_inputs(given))
        except InferenceServerException as error:
            raise BenchmarkError(f"{photo} does not pass ({error.message()}): name another with --photo.") from error
        known.update({tensor: answer.as_numpy(name) for name, tensor in step.output_map.items()})
    return inputs, json.loads(known["INFO"].item())["models"]


def make_points(options: argparse.Namespace, loader: Loader) -> tuple[Point, ...]:
    """Every model at every instance count, batch and concurrency; what shares a load stands together."""
    points = []
    for model in options.models:
        for instances in options.instances or (loader.instances_per_gpu(model),):
            places = loader.total_instances(model, instances)
            for batch in options.batches:
                # A number, or with an x a multiple of the places in all batches.
                listed = options.concurrency
                counts = [int(one.removesuffix("x")) * (batch * places if "x" in one else 1) for one in listed]
                points += [Point(model, batch, instances, in_flight) for in_flight in dict.fromkeys(counts)]
    return tuple(points)
