"""Loads models with another batch size or instance count into a running server, and as they were again."""

from __future__ import annotations

from collections.abc import Collection

from google.protobuf.json_format import MessageToJson
from tritonclient.grpc import InferenceServerClient, model_config_pb2
from tritonclient.utils import InferenceServerException

from benchmarks.rig.report import BenchmarkError
from benchmarks.sweep.points import Point
from contract.names import ENSEMBLE
from server.tensorrt import fit_batch

KIND_GPU = model_config_pb2.ModelInstanceGroup.Kind.Value("KIND_GPU")


def resize(
    config: model_config_pb2.ModelConfig, batch: int, instances: int, *, on_gpu: bool
) -> model_config_pb2.ModelConfig:
    """Return a copy of a config for batches of `batch` and `instances` instances on each of its GPUs.

    Where nothing is served on a GPU (not `on_gpu`), models wait in proportion to their batch: see server/derive.py.
    """
    sized = model_config_pb2.ModelConfig()
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
        members = [step.model_name for step in ensemble.ensemble_scheduling.step]
        self._served = {ENSEMBLE: ensemble, **{name: client.get_model_config(name).config for name in members}}
        self._changed: dict[str, tuple[int, int]] = {}

    @property
    def models(self) -> tuple[str, ...]:
        """The ensemble and its members."""
        return tuple(self._served)

    @property
    def on_gpu(self) -> bool:
        """Whether any model is served on a GPU."""
        return any(group.kind == KIND_GPU for config in self._served.values() for group in config.instance_group)

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
        wanted = dict.fromkeys(self.parts(point.model), (point.batch, point.instances))
        if wanted == self._changed:
            return False
        self.restore(keep=wanted.keys())
        for model, (batch, instances) in wanted.items():
            if self._changed.get(model) == (batch, instances):
                continue
            self._changed[model] = (0, 0)  # whatever a load that fails leaves behind
            self._load(model, resize(self._served[model], batch, instances, on_gpu=self.on_gpu))
            self._changed[model] = (batch, instances)
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

    def parts(self, model: str) -> tuple[str, ...]:
        """The models that a point of `model` loads: itself, or the members of the ensemble."""
        return tuple(name for name in self._served if name != ENSEMBLE) if model == ENSEMBLE else (model,)

    def _load(self, model: str, config: model_config_pb2.ModelConfig) -> None:
        self._client.load_model(model, config=MessageToJson(config, preserving_proto_field_name=True))
