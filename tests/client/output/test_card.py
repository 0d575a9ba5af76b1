"""Promises of a dataset's card: YAML that readers accept whatever a column is called, and what is in the dataset."""

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from client.input.row import Row
from client.light.light import light_of, source_of
from client.output.card import Making, write_card
from client.output.counts import Counts
from client.output.plan import PACKED, Plan
from client.output.records import Records
from client.output.table import Totals

COLUMNS = ("image_path", 'a "caption"\\n', "emoji 😀: #", "line\u2028end \x85")


def card(folder: Path, dataset: str) -> tuple[dict[str, Any], str]:
    """The card of three pictures, lit from the right and from below: its YAML, and the rest."""
    records = Records(Plan(("output", "environment"), dataset=dataset), COLUMNS)
    counts = Counts(records)
    for index, (x, y) in enumerate(((1, 0), (1, 0), (0, 1))):
        light = light_of(None, [source_of("key", {"direction_x": x, "direction_y": y, "direction_z": 0})], {})
        row = Row(index, ("a.jpg", "", "", ""), "a.jpg", split="val" if index else "train")
        counts.add(records.of_row(row, {"lights": [light.named()], "score": 1}))
    making = Making("python client/run_csv.py", {"segment": {"network": "plain", "sha256": "0" * 64}}, has_splits=True)
    write_card(folder, records, counts, Totals(done=3, failed=1, missing=0), making)
    _, head, rest = (folder / "README.md").read_text("utf-8").split("---\n", 2)
    return YAML(typ="safe").load(head), rest


@pytest.mark.parametrize("dataset", ["folder", *PACKED])
def test_the_head_names_every_feature_and_where_the_splits_are(tmp_path: Path, dataset: str) -> None:
    head, _ = card(tmp_path, dataset)
    (config,) = head["configs"]
    paths = {"folder": ["metadata.jsonl", "*.png"], "webdataset": ["[0-9]*.tar"], "parquet": ["[0-9]*.parquet"]}
    assert config["data_files"] == [
        {"split": split, "path": [f"{split}/{path}" for path in paths[dataset]]} for split in ("train", "val")
    ]
    features = {one["name"]: one for one in head["dataset_info"]["features"]}
    if dataset == "webdataset":
        assert features["output.png"]["dtype"] == "image"
        features = {one["name"]: one for one in features["json"]["struct"]}
    assert {*COLUMNS[:3], COLUMNS[3].strip()} <= set(features)
    assert features["instructions"]["list"] == "string"
    assert (head["license"], head["size_categories"]) == ("unknown", ["n<1K"])


def test_the_text_counts_splits_and_lights(tmp_path: Path) -> None:
    _, text = card(tmp_path, "folder")
    assert "3 pictures of 3 photos; rows that failed: 1" in text
    for line in ("| train | 1 |", "| val | 2 |", f"| 0 to 30° | 2 | {'█' * 30} |", f"| 90 to 120° | 1 | {'█' * 15} |"):
        assert line in text.splitlines()
    assert "| segment: plain |  | 0000000000000000 |" in text
