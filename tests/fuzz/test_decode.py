"""The fuzzer's first batches, whose photos never change; `python -m tests.fuzz decode` goes on from there."""

from tests.fuzz.decode import fuzz


def test_damaged_photos_neither_end_the_process_nor_show_what_was_decoded_before() -> None:
    report = fuzz(seed=1, batches=3)
    assert not report.findings, [what for what, _ in report.findings]
    formats = {name for name, _ in report.outcomes}
    assert {"JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "AVIF", "HEIF"} <= formats
    assert {kind for _, kind in report.outcomes} == {"pixels", "refused"}
