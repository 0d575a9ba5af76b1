"""Promises of the progress: failures are reported at once and at the end, and too many of them end the run."""

import io
from pathlib import Path

from client.output.folder import RunFolder
from client.output.table import Totals
from client.run.progress import Progress, closing_words


def test_the_closing_words_show_the_first_failures_and_where_the_rest_is() -> None:
    stream = io.StringIO()
    progress = Progress(stream)
    progress.row_done()
    for number in range(1, 13):
        progress.row_failed(f"row {number} (a.jpg): it is damaged")
    assert len(stream.getvalue().splitlines()) == 12, "each is told at once"
    told = closing_words(progress, RunFolder(Path("out/in")), Totals(done=5, failed=12, missing=2))
    assert "5 rows done (4 of them earlier), 12 failed" in told
    assert "row 10 (a.jpg): it is damaged\n  and 2 more, see out/in/failed.csv" in told
    assert "  --retry-failed tries them again" in told
    assert "2 rows are not done yet: the same command resumes them" in told


def test_rows_that_failed_in_an_earlier_run_are_reported_with_the_remedy() -> None:
    told = closing_words(Progress(io.StringIO()), RunFolder(Path("out/in")), Totals(done=3, failed=2, missing=0))
    assert "  2 of them earlier, see out/in/failed.csv\n  --retry-failed tries them again" in told


def test_the_end_is_asked_for_once_when_too_many_rows_have_failed() -> None:
    ends: list[str] = []
    progress = Progress(io.StringIO(), max_failures=1, end=lambda: ends.append("end"))
    progress.row_failed("row 1: it is damaged")
    assert (ends, progress.too_many_failed) == ([], False)
    progress.row_failed("row 2: it is damaged")
    progress.row_failed("row 3: it is damaged")
    assert (ends, progress.too_many_failed) == (["end"], True)
