"""What the pictures of a dataset are like, counted from its records: lights, patterns, backgrounds, scores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from client.input.splits import SPLIT_COLUMN
from client.output.records import Records

_AZIMUTH_STEP, _ELEVATION_STEP = 30, 15  # degrees
_SCORE_STEP = 0.1


class Counts:
    """Counters by title, each with a count for every value, and the pictures of each split."""

    def __init__(self, records: Records) -> None:
        self._names = records.names
        self.splits: Counter[str] = Counter()
        self.tables: dict[str, Counter[str]] = {
            title: Counter()
            for title in (
                "Sources",
                "Environment",
                "Pattern",
                "Azimuth of the first source",
                "Elevation of the first source",
            )
        }
        self.tables |= {title: Counter() for title in ("Background", "Score")}

    @property
    def pictures(self) -> int:
        """How many records there are."""
        return self.splits.total()

    def as_json(self) -> dict[str, Any]:
        """All counters as JSON values, for `merge`."""
        return {"splits": dict(self.splits), "tables": {title: dict(counter) for title, counter in self.tables.items()}}

    def merge(self, counted: Mapping[str, Any]) -> None:
        """Add what `as_json` of another has given."""
        self.splits.update(counted["splits"])
        for title, counter in counted["tables"].items():
            self.tables[title].update(counter)

    def add(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Count records."""
        for record in records:
            light = record[self._names["light"]]
            sources = [source for source in light["sources"] if source["kind"]]
            values = {
                "Sources": " + ".join(source["kind"] for source in sources) or "none",
                "Environment": light["environment"]["name"] or "none",
                "Background": light["background"],
                "Score": _interval(record[self._names["score"]], _SCORE_STEP, 1),
            }
            for source in sources[:1]:
                values["Pattern"] = source["pattern"]
                values["Azimuth of the first source"] = _interval(source["azimuth"], _AZIMUTH_STEP, 360, "°")
                values["Elevation of the first source"] = _interval(source["elevation"], _ELEVATION_STEP, 90, "°")
            for title, value in values.items():
                self.tables[title][value] += 1
            self.splits[record[self._names[SPLIT_COLUMN]]] += 1


def _interval(value: float, step: float, most: float, unit: str = "") -> str:
    """The interval that a number is in, such as `30 to 60°`; the last one has its end."""
    low = min(value // step * step, most - step)
    return f"{low:g} to {low + step:g}{unit}"
