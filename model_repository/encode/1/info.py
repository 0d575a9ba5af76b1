"""INFO, the JSON with every answer: the numbers behind it, the networks that made it."""

import json
import math
from pathlib import Path
from typing import Any

from contract.names import NETWORKS
from contract.versions import REPORT, newest_version

CHANGING = "being exchanged"  # instead of a checksum
_KEYS = ("network", "weights", "precision", "sha256", "patterns")


def read_models(repository: Path, changing: bool = False) -> dict[str, dict[str, Any]]:
    """What each network was exported from, as its largest version's export.json has it.

    repository: the folder of all models. Networks without such a file are left out. `changing`: versions are being
    exchanged, so that nobody can say which one an answer is from; no checksum is given then.
    """
    models = {}
    for name in NETWORKS:
        newest = newest_version(repository / name, REPORT)
        if newest:
            export = json.loads((newest / REPORT).read_text("utf-8"))
            models[name] = {key: export[key] for key in _KEYS if key in export}
            if changing:
                models[name]["sha256"] = CHANGING
    return models


def write_info(
    score: float,
    box: list[float],
    count: int,
    residual: float,
    size: tuple[int, int],
    original: tuple[int, int],
    crop: list[int],
    models: dict[str, dict[str, Any]],
) -> bytes:
    """Compact JSON, floats to 6 significant digits, what is not a number as null.

    score: 0-1. box: xyxy, 0-1. residual: mean |photo − albedo × shading|, linear light. size: width, height in pixels.
    original: width, height of the upright photo as it was sent. crop: the part of it that the files show, xyxy.
    """
    content = {
        "score": _rounded(score),
        "box": [_rounded(edge) for edge in box],
        "count": count,
        "residual": _rounded(residual),
        "width": size[0],
        "height": size[1],
        "original": original,
        "crop": crop,
        "models": models,
    }
    return json.dumps(content, separators=(",", ":")).encode()


def _rounded(value: float) -> float | None:
    return float(f"{value:.6g}") if math.isfinite(value) else None
