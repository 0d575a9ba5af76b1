"""What came of a fuzzer's inputs: counts, and what must not have happened."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Report:
    """Counts by kind of input and outcome, and the findings."""

    what: str  # the inputs, in the plural
    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)  # of (kind of input, outcome) → how many
    findings: list[tuple[str, bytes]] = field(default_factory=list)  # what is wrong, and the input that shows it
    notes: list[str] = field(default_factory=list)  # other figures, as sentences

    def lines(self) -> list[str]:
        """Counts by kind of input, then the findings."""
        kinds, outcomes = (sorted({pair[place] for pair in self.outcomes}) for place in (0, 1))
        table = [
            f"{kind:10}" + "".join(f" {self.outcomes[kind, outcome]:8,} {outcome}" for outcome in outcomes)
            for kind in kinds
        ]
        total = f"{self.outcomes.total():,} {self.what}, {len(self.findings)} findings"
        return [*table, *self.notes, total, *(what for what, _ in self.findings)]
