"""Dynamic batching as Triton itself counts it."""

from dataclasses import dataclass
from pathlib import Path

import tritonclient.grpc as triton
from PIL import Image, ImageStat

from client.run_csv import main
from export.check.verify import verify
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


def fills_batches(url: str, folder: Path, photos: int, *options: str) -> list[Path]:
    """Stream mixed photos through a server; expect full batches in every network and return the pictures."""
    table = write_csv(folder / "mixed.csv", write_mixed(folder, photos))
    before = {model: read_counts(url, model) for model in NETWORKS}

    arguments = ["--csv", str(table), "--output", str(folder / "out"), "--url", url, "--quiet"]
    assert main([*arguments, *options]) == 0

    for model in NETWORKS:
        after = read_counts(url, model)
        rows, executions = after.rows - before[model].rows, after.executions - before[model].executions
        assert rows == photos
        assert rows / executions >= 0.9 * read_max_batch(url, model), (model, executions)
    return sorted((folder / "out").rglob("*_output.png"))


def test_a_stream_of_mixed_photos_fills_the_batches_of_every_network(server: RunningServer, tmp_path: Path) -> None:
    photos = 32 * read_max_batch(server.grpc_url, "segment")
    assert len(fills_batches(server.grpc_url, tmp_path, photos)) == photos


def test_the_published_architectures_batch_in_every_format(tiny_server: RunningServer, tmp_path: Path) -> None:
    pictures = fills_batches(
        tiny_server.grpc_url, tmp_path, 48, "--score-threshold", "0.1"
    )  # random weights are unsure
    assert len(pictures) == 48
    for picture in pictures:
        with Image.open(picture) as image:
            assert ImageStat.Stat(image.convert("L")).stddev[0] > 1.0, picture  # not one gray


def test_every_format_gives_the_same_answers(tiny_server: RunningServer, tiny_repository: Path) -> None:
    """The server answers as the files do that the export compared with their networks."""
    assert verify([str(tiny_repository), "--url", tiny_server.grpc_url]) == 0
