"""The fuzzer's first tables, which never change; `python -m tests.fuzz csv` goes on from there."""

from tests.fuzz.table import fuzz


def test_tables_give_every_row_or_a_sentence() -> None:
    report = fuzz(seed=1, batches=2)
    assert not report.findings, [what for what, _ in report.findings]
    assert set(report.outcomes) == {("sound", "read"), ("damaged", "read"), ("damaged", "refused")}
