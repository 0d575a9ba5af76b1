"""One server under the sweep: plans the points, loads and measures what is left of them, records each at once."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tritonclient.grpc import InferenceServerClient
from tritonclient.utils import InferenceServerException

from benchmarks.sweep.journal import Plan, append_point, check_same, left, read_points, write_plan
from benchmarks.sweep.loading import Loader
from benchmarks.sweep.measure import Load, MeasurementFailedError, measure
from benchmarks.sweep.options import REQUESTS_ON_CPU, REQUESTS_ON_GPU, Options
from benchmarks.sweep.photo_tensors import PhotoTensors, follow_photo, write_input_data
from benchmarks.sweep.points import Measurement, Point
from server.derive import this_machine
from server.embedded import Options as ServerOptions
from server.embedded import embedded_server

# Every model is loaded, and any of them again on request; GPU metrics twice a second.
SERVER_ARGUMENTS = ("--model-control-mode=explicit", "--load-model=*", "--metrics-interval-ms=500")


class SweepError(Exception):
    """The sweep cannot go on; the message says why and what to do."""


@dataclass(frozen=True)
class Address:
    """Where the server under the sweep listens, each host:port."""

    grpc_url: str
    metrics_url: str | None


@contextmanager
def swept_server(options: Options) -> Iterator[Address]:
    """The server of --url, or an embedded one for as long as the block lasts.

    Raises:
        ServerError: the embedded server does not start.
    """
    if options.url is not None:
        yield Address(options.url, options.metrics_url)
        return
    machine = this_machine(options.gpus)
    embedded = ServerOptions(
        options.repository, machine, grpc_port=0, http_port=0, metrics_port=0, extra=SERVER_ARGUMENTS
    )
    with embedded_server(embedded) as server:
        yield Address(server.grpc_url, server.metrics_url)


def measure_points(options: Options, settings: dict[str, Any], plan: Plan | None, address: Address) -> Plan:
    """Measure what is left of a plan, made here unless there is one, until all is done or the embedded server fails.

    Raises:
        SweepError: the options do not fit the server, or a running server has failed.
        OtherSweepError: the server's networks are not those of the points in the output folder.
        LoadsRefusedError: a running server does not load models on request.
        InferenceServerException: the server does not answer.
    """
    with InferenceServerClient(address.grpc_url) as client, tempfile.TemporaryDirectory() as name:
        loader = Loader(client)
        check_models(options, loader)
        photos = [follow(client, photo, options.prompt) for photo in options.photos]
        if plan is None:
            plan = Plan(settings, photos[0].networks, make_points(options, loader))
            write_plan(options.output, plan)
        check_same(options.output, "networks", plan.networks, photos[0].networks)
        inputs = {model: Path(name) / f"{model}.json" for model in options.models}
        for model, file in inputs.items():
            write_input_data(file, [photo.inputs[model] for photo in photos])
        requests = options.measurement_requests or (REQUESTS_ON_GPU if loader.on_gpu else REQUESTS_ON_CPU)
        load = Load(address.grpc_url, address.metrics_url, requests, options.timeout, options.extra)
        loader.open_ensemble()
        try:
            measure_each(client, loader, options, plan, inputs, load)
        finally:
            if options.url is not None:
                with suppress(InferenceServerException):  # of a server that is gone there is nothing to restore
                    loader.close()
    return plan


def measure_each(
    client: InferenceServerClient,
    loader: Loader,
    options: Options,
    plan: Plan,
    inputs: Mapping[str, Path],
    load: Load,
) -> None:
    """Measure points one by one and record each; return early when the embedded server has failed.

    Raises:
        SweepError: a running server has failed.
    """
    points = left(plan, read_points(options.output))
    done = len(plan.points) - len(points)
    for number, point in enumerate(points, done + 1):
        measurement = measure_or_find(client, loader, point, inputs[point.model], load)
        append_point(options.output, measurement)
        print(f"{number}/{len(plan.points)} {describe_outcome(measurement)}", flush=True)
        if not measurement.finding:
            continue
        try:
            loader.restore()
        except InferenceServerException as error:
            if options.url is None:
                return
            raise SweepError(
                f"The server at {options.url} does not recover ({error.message()}): "
                "start it again, and the same command goes on with the next point."
            ) from error


def measure_or_find(
    client: InferenceServerClient, loader: Loader, point: Point, input_data: Path, load: Load
) -> Measurement:
    """Load and measure a point; what prevents it, such as want of memory, is the finding."""
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


def describe_outcome(measurement: Measurement) -> str:
    """A point and its outcome in a line."""
    if measurement.finding:
        return f"{measurement.point}: {measurement.finding}"
    return (
        f"{measurement.point}: {measurement.images_per_second:.2f} images/s, batches of {measurement.mean_batch:.1f}, "
        f"p95 {measurement.p95_ms:.0f} ms"
    )


def check_models(options: Options, loader: Loader) -> None:
    """Refuse models that the ensemble does not have.

    Raises:
        SweepError: naming the first.
    """
    for model in options.models:
        if model not in loader.models:
            raise SweepError(f"There is no model {model!r} in the ensemble; --models takes {', '.join(loader.models)}.")


def follow(client: InferenceServerClient, photo: Path, prompt: str) -> PhotoTensors:
    """Send a photo through the models one by one.

    Raises:
        SweepError: a model refuses it.
    """
    try:
        return follow_photo(client, photo.read_bytes(), prompt)
    except InferenceServerException as error:
        raise SweepError(f"{photo} does not pass ({error.message()}): name another with --photo.") from error


def make_points(options: Options, loader: Loader) -> tuple[Point, ...]:
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
