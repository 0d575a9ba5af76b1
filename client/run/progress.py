"""The progress bar on stderr, the failures above it, and the closing summary."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from typing import Any, TextIO

from client.input.row import name_of
from client.output.folder import RunFolder
from client.output.table import Totals
from client.run.cluster.speeds import Speeds

SHOWN_FAILURES = 10
_TERMINAL_SECONDS = 0.1
_LOG_SECONDS = 10.0


class Progress:
    """Counts finished rows and shows them: a bar on a terminal, a line every ten seconds in a log.

    `total` may be set later, or stay None if it is unknown.
    """

    def __init__(
        self,
        stream: TextIO,
        *,
        bar: bool = True,
        max_failures: int | None = None,
        end: Callable[[], None] | None = None,
    ) -> None:
        """`end` is called when more than `max_failures` rows have failed."""
        self.total: int | None = None
        self.earlier = 0  # rows that earlier runs have finished
        self.done = 0
        self.failed = 0
        self.failures: list[str] = []  # the first few, for the summary
        self.nodes: Speeds | None = None  # of a cluster
        self._max_failures = max_failures
        self._end = end
        self._stream = stream
        self._bar = bar
        self._terminal = stream.isatty()
        self._start = self._shown = self._last = time.monotonic()

    def begin(self) -> None:
        """Start the clock, before the first row is sent."""
        self._start = self._shown = self._last = time.monotonic()

    @property
    def seconds(self) -> float:
        """Since the first row was sent."""
        return time.monotonic() - self._start

    @property
    def too_many_failed(self) -> bool:
        """Whether the limit of failures is exceeded."""
        return self._max_failures is not None and self.failed > self._max_failures

    @property
    def rate(self) -> float:
        """Photos done per second, from the first row that was sent to the last one that was finished."""
        return self.done / max(self._last - self._start, 1e-9)

    def row_done(self) -> None:
        """Count a row whose files are written."""
        self.done += 1
        self._show()

    def row_failed(self, sentence: str) -> None:
        """Count a row that failed and say why, above the bar."""
        self.failed += 1
        if len(self.failures) < SHOWN_FAILURES:
            self.failures.append(sentence)
        self.say(sentence)
        if self.too_many_failed and self._end is not None:
            self.say(f"more than {self._max_failures} rows failed: the run ends here")
            end, self._end = self._end, None
            end()
        self._show()

    def say(self, sentence: str) -> None:
        """Print a line without breaking the bar."""
        self._clear()
        print(sentence, file=self._stream, flush=True)

    def close(self) -> None:
        """Remove the bar."""
        self._clear()
        self._bar = False

    def line(self) -> str:
        """The numbers in words: done of total, images/s, time left, failures."""
        finished = self.earlier + self.done + self.failed
        total = f"/{self.total}" if self.total is not None else ""
        parts = [f"{finished}{total} rows", f"{self.rate:.1f} images/s"]
        if self.total is not None and finished > self.earlier:
            left = self.seconds / (finished - self.earlier) * max(0, self.total - finished)
            parts.append(f"{_clock(left)} left")
        if self.failed:
            parts.append(f"{self.failed} failed")
        if self.nodes is not None:
            parts.append(str(self.nodes))
        return ", ".join(parts)

    def _show(self) -> None:
        now = self._last = time.monotonic()
        wait = _TERMINAL_SECONDS if self._terminal else _LOG_SECONDS
        if not self._bar or now - self._shown < wait:
            return
        self._shown = now
        if not self._terminal:
            print(self.line(), file=self._stream, flush=True)
            return
        width = shutil.get_terminal_size().columns - 1
        text = self.line()
        room = min(40, width - len(text) - 3)
        if self.total and room > 4:
            filled = min(room, round(room * (self.earlier + self.done + self.failed) / self.total))
            text = f"[{'#' * filled}{'-' * (room - filled)}] {text}"
        print(f"\r\x1b[K{text[:width]}", end="", file=self._stream, flush=True)

    def _clear(self) -> None:
        if self._bar and self._terminal:
            print("\r\x1b[K", end="", file=self._stream, flush=True)
            self._shown = 0.0  # draw again at the next row


def closing_words(progress: Progress, folder: RunFolder, totals: Totals) -> str:
    """What the run did and where it is, in a few lines."""
    earlier = totals.done - progress.done
    lines = [
        f"{totals.done} rows done{f' ({earlier} of them earlier)' if earlier else ''}, {totals.failed} failed, "
        f"{progress.seconds:.1f} s, {progress.rate:.1f} images/s",
        *(f"  {sentence}" for sentence in progress.failures),
    ]
    more = totals.failed - len(progress.failures)
    if more > 0:
        which = f"and {more} more" if progress.failures else f"{more} of them earlier"
        lines.append(f"  {which}, see {folder.shown(folder.failures)}")
    if totals.failed:
        lines.append("  --retry-failed tries them again")
    if totals.gone:
        lines.append(f"  {gone_words(totals.gone)}")
    if totals.missing:
        lines.append(f"  {totals.missing} rows are not done yet: the same command resumes them")
    return "\n".join([*lines, f"files: {folder.shown(folder.path)}", f"table: {folder.shown(folder.table)}"])


def gone_words(numbers: Sequence[int]) -> str:
    """The rows that are gone, by the first names of their files; empty if there are none."""
    if not numbers:
        return ""
    names = ", ".join(f"{name_of(number)}*" for number in numbers[:SHOWN_FAILURES])
    more = f" and {len(numbers) - SHOWN_FAILURES:,} more" if len(numbers) > SHOWN_FAILURES else ""
    return f"{len(numbers):,} rows are no longer in the table; --prune removes their files: {names}{more}"


def report(progress: Progress, totals: Totals, exit_code: int) -> dict[str, Any]:
    """The run's numbers, as `--summary` writes them."""
    return {
        "rows_done": totals.done,
        "rows_failed": totals.failed,
        "rows_missing": totals.missing,
        "rows_gone": len(totals.gone),
        "done_in_this_run": progress.done,
        "failed_in_this_run": progress.failed,
        "seconds": round(progress.seconds, 3),
        "images_per_second": round(progress.rate, 3),
        "first_failures": progress.failures,
        **({} if progress.nodes is None else {"nodes": progress.nodes.done}),
        "exit_code": exit_code,
    }


def _clock(seconds: float) -> str:
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute}:{second:02d}"
