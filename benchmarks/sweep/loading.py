"""Loads models with another batch size or instance count into a running server, and as they were again."""

from collections.abc import Collection
from typing import TypeAlias

from google.protobuf.json_format import MessageToJson
from tritonclient.grpc import InferenceServerClient, model_config_pb2
from tritonclient.utils import InferenceServerException

from benchmarks.rig.report import BenchmarkError
from benchmarks.sweep.points import Point
from contract.names import ENSEMBLE
from server.tensorrt import fit_batch

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
