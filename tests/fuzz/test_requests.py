"""The fuzzer's first requests, which never change; `python -m tests.fuzz requests` goes on from there."""

import numpy as np

from contract.names import MODELS
from server.embedded import RunningServer
from tests.fuzz.requests import Client, ask, judge, right_tensors
from tests.fuzz.tensors import Request

MINUTE = 60.0  # for what takes a few seconds


def test_any_request_is_answered_or_refused_in_a_sentence(server: RunningServer) -> None:
    report = ask(server, seed=1, seconds=MINUTE, requests=8)
    assert not report.findings, [what for what, _ in report.findings]
    assert {kind for kind, _ in report.outcomes} == {*MODELS, "known"}
    assert {outcome for _, outcome in report.outcomes} <= {"answered", "refused", "not sent"}


def test_what_the_fuzzer_found_is_the_callers_fault(server: RunningServer) -> None:
    right = right_tensors(server)
    none = {name: right["recombine"][name][:, :0] for name in ("SCENE", "SHADING")}
    two = {"LIGHT": np.repeat(right["shadow"]["LIGHT"], 2, axis=1), "SCENE": np.repeat(right["shadow"]["SCENE"], 3, 1)}
    with Client(server) as client:
        for model, changed in (
            ("shadow", {"LIGHT": np.full((1, 1, 1, 16), np.nan, np.float32)}),
            ("shadow", two),
            ("recombine", none),
            ("encode", {"SCENE": right["encode"]["SCENE"][:, :0]}),
            ("encode", {"OUTPUT_PIXELS": right["encode"]["OUTPUT_PIXELS"][:, :, :0]}),
            ("encode", {"FILES": np.array([[b"output;jpeg:" + b"9" * 5000]], np.object_)}),
        ):
            request = Request(model, {**right[model], **changed})
            assert judge(client, request, grpc=True, wanted=None) == ("refused", ""), model
