"""The fuzzer's first requests, which never change; `python -m tests.fuzz requests` goes on from there."""

from contract.names import MODELS
from server.embedded import RunningServer
from tests.fuzz.requests import ask

MINUTE = 60.0  # for what takes a few seconds


def test_any_request_is_answered_or_refused_in_a_sentence(server: RunningServer) -> None:
    report = ask(server, seed=1, seconds=MINUTE, requests=8)
    assert not report.findings, [what for what, _ in report.findings]
    assert {kind for kind, _ in report.outcomes} == {*MODELS, "known"}
    assert {outcome for _, outcome in report.outcomes} <= {"answered", "refused", "not sent"}
