"""One server under the sweep: plans the points, loads and measures what is left of them, records each at once."""

import argparse
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tritonclient.grpc import InferenceServerClient
from tritonclient.utils import InferenceServerException

from benchmarks.rig.lights import WHITE, Tensors
from benchmarks.rig.perf_analyzer import find_perf_analyzer
from benchmarks.rig.report import BenchmarkError
from benchmarks.rig.requests import ask_for, to_inputs, write_input_data
from benchmarks.rig.triton import METRICS_ARGUMENT, serving
from benchmarks.sweep.loading import Loader
from benchmarks.sweep.measure import Load, MeasurementFailedError, measure
from benchmarks.sweep.points import Measurement, Plan, Point, append_point, check_same, left, read_points, write_plan
from contract.names import ENSEMBLE
from server.derive import this_machine

# Every model is loaded, and any of them again on request.
SERVER_ARGUMENTS = ("--model-control-mode=explicit", "--load-model=*", METRICS_ARGUMENT)
REQUESTS_ON_CPU, REQUESTS_ON_GPU = 32, 1000  # some seconds on either


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

    Raises:
        BenchmarkError: the options do not fit the server; it has failed or does not load models on request; its
            networks are not those of the points in the output folder.
        InferenceServerException: the server does not answer.
    """
    with InferenceServerClient(grpc_url) as client, tempfile.TemporaryDirectory() as name:
        loader = Loader(client)
        known = (ENSEMBLE, *loader.members)
        if unknown := [model for model in options.models if model not in known]:
            raise BenchmarkError(
                f"There is no model {unknown[0]!r} in the ensemble; --models takes {', '.join(known)}."
            )
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
                if measurement.finding and not recovers(loader, options.url):
                    break
        finally:
            with suppress(InferenceServerException):  # of a server that is gone there is nothing to restore
                if options.url is not None:
                    loader.close()
    return plan


def recovers(loader: Loader, url: str | None) -> bool:
    """Whether models can be loaded after a point that failed; a running server must. Raises BenchmarkError."""
    try:
        loader.restore()
    except InferenceServerException as error:
        if url is None:
            return False
        raise BenchmarkError(
            f"The server at {url} does not recover ({error.message()}): "
            "start it again, and the same command goes on with the next point."
        ) from error
    return True


def measure_or_find(
    client: InferenceServerClient, loader: Loader, point: Point, input_data: Path, load: Load
) -> Measurement:
    """Load and measure a point; what prevents it, such as too little memory, is the finding."""
    try:
        cold = loader.load(point) and loader.on_gpu
    except InferenceServerException as error:
        return Measurement(point, finding=f"cannot be loaded: {error.message()}")
    try:
        return measure(client, point, loader.parts(point.model), input_data, load, cold=cold)
    except MeasurementFailedError as error:
        return Measurement(point, finding=f"fails: {error}")
    except InferenceServerException as error:
        return Measurement(point, finding=f"fails: {error.message()}")


def follow(client: InferenceServerClient, photo: Path, prompt: str) -> tuple[dict[str, Tensors], dict[str, Any]]:
    """Send a photo through the ensemble's members one after the other, as its config connects them.

    Returns:
        What each model is given, the ensemble included; and what the ensemble says its networks are.

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
                flights = (in_flight(text, batch * places) for text in options.concurrency)
                points += [Point(model, batch, instances, flight) for flight in dict.fromkeys(flights)]
    return tuple(points)


def in_flight(text: str, places: int) -> int:
    """What one --concurrency means: a number, or with an x a multiple of the places in all batches."""
    return int(text.removesuffix("x")) * (places if text.endswith("x") else 1)
