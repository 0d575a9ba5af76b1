"""Dynamic batching as Triton itself counts it."""

from dataclasses import dataclass
from pathlib import Path

import tritonclient.grpc as triton

from client.run_csv import main
from server.embedded import RunningServer
from tests.rig.photos import write_csv, write_mixed

NETWORKS = ("segment", "albedo", "shadow", "recombine")


@dataclass(frozen=True)
class Counts:
    """Rows answered and executions run by one model so far."""

    rows: int
    executions: int


def read_counts(url: str, model: str) -> Counts:
    with triton.InferenceServerClient(url) as client:
        statistics = client.get_inference_statistics(model).model_stats[0]
        return Counts(statistics.inference_count, statistics.execution_count)


def read_max_batch(url: str, model: str) -> int:
    with triton.InferenceServerClient(url) as client:
        return int(client.get_model_config(model).config.max_batch_size)


def test_a_stream_of_mixed_photos_fills_the_batches_of_every_network(server: RunningServer, tmp_path: Path) -> None:
    url, photos = server.grpc_url, 32 * read_max_batch(server.grpc_url, "segment")
    table = write_csv(tmp_path / "mixed.csv", write_mixed(tmp_path, photos))
    before = {model: read_counts(url, model) for model in NETWORKS}
    assert main(["--csv", str(table), "--output", str(tmp_path / "out"), "--url", url, "--quiet"]) == 0
    for model in NETWORKS:
        after = read_counts(url, model)
        rows, executions = after.rows - before[model].rows, after.executions - before[model].executions
        assert rows == photos
        assert rows / executions >= 0.9 * read_max_batch(url, model), (model, executions)
    assert len(list((tmp_path / "out").rglob("*_output.png"))) == photos
