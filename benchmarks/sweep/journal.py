"""The folder of a sweep: its settings and plan, and a line for each point that is done, to resume from."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.rig.report import BenchmarkError, write_json
from benchmarks.sweep.points import Measurement, Point, from_json

PLAN, POINTS = "sweep.json", "points.jsonl"


@dataclass(frozen=True)
class Plan:
    """What a sweep measures and under which conditions."""

    settings: dict[str, Any]  # whatever would change the numbers, as JSON has it
    networks: dict[str, Any]  # what the ensemble says its networks are
    points: tuple[Point, ...]  # in the order in which they are measured


def read_plan(folder: Path) -> Plan | None:
    """The plan of the sweep in a folder, None where there is none. Raises BenchmarkError: the file is not a plan."""
    file = folder / PLAN
    if not file.exists():
        return None
    try:
        content = json.loads(file.read_text())
        points = tuple(Point(**point) for point in content["points"])
        return Plan(content["settings"], content["networks"], points)
    except (ValueError, KeyError, TypeError) as error:
        raise BenchmarkError(f"{file} is not the plan of a sweep: --restart writes it anew.") from error


def write_plan(folder: Path, plan: Plan) -> None:
    """Begin a sweep in a folder; points that are there are forgotten."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / POINTS).write_text("")
    write_json(folder / PLAN, asdict(plan))


def check_same(folder: Path, what: str, before: dict[str, Any], now: dict[str, Any]) -> None:
    """Refuse to mix points of different conditions. Raises BenchmarkError, naming each difference."""

    def brief(value: Any) -> str:
        text = json.dumps(value)
        return text if len(text) <= 80 else f"{text[:77]}…"

    keys = [key for key in {**before, **now} if before.get(key) != now.get(key)]
    if keys:
        differences = ", ".join(f"{key} {brief(before.get(key))} → {brief(now.get(key))}" for key in keys)
        raise BenchmarkError(
            f"The points in {folder} were measured with other {what} ({differences}): "
            "--restart forgets them, --output keeps them and starts elsewhere."
        )


def read_points(folder: Path) -> list[Measurement]:
    """The points that are done. A last line that was cut off while it was written is removed."""
    file = folder / POINTS
    content = file.read_bytes() if file.exists() else b""
    whole = content[: content.rfind(b"\n") + 1]
    if whole != content:
        file.write_bytes(whole)
    return [from_json(json.loads(line)) for line in whole.splitlines()]


def append_point(folder: Path, measurement: Measurement) -> None:
    """Add a point that is done."""
    with (folder / POINTS).open("a") as stream:
        stream.write(json.dumps(asdict(measurement)) + "\n")


def left(plan: Plan, done: Sequence[Measurement]) -> list[Point]:
    """The points of a plan that are not done, in its order."""
    finished = {measurement.point for measurement in done}
    return [point for point in plan.points if point not in finished]
