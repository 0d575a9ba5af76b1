"""The gate lets no wrong export through: each sabotage is a fault that exports of these networks really had."""

import json
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from contract.names import STAGES
from contract.versions import REPORT
from export import exporter
from export.check.gate import PRECISIONS, Measurement, Precision, compare, measure
from export.check.reference import Reference, ask
from export.errors import ExportError
from export.exporter import CHECKED_BATCHES, Candidate, export
from export.files import torchscript_file
from export.networks.pattern_bank import PatternBank
from export.networks.presets import PRESETS, Options, build
from export.tensors import Contract, TensorSpec, read_contract


@cache
def options() -> Options:
    return Options(PatternBank(), steps=1, side=96)


def network(stage: str) -> nn.Module:
    return build(stage, PRESETS["tiny"][stage], options()).network


@cache
def answers(stage: str) -> Reference:
    contract = read_contract(stage)
    return ask(network(stage), contract, "tiny", max(CHECKED_BATCHES))


@pytest.fixture(autouse=True)
def asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test has the same network of a stage: what it answers in float32 is computed once."""
    monkeypatch.setattr(exporter, "ask", lambda _, contract, *rest, **options: answers(contract.name))


def export_tiny(stage: str, folder: Path, precision: Precision = "fp32") -> dict[str, object]:
    export(Candidate(stage, "tiny", "random", network(stage), "torchscript", precision), folder)
    report: dict[str, object] = json.loads((folder / REPORT).read_text())
    return report


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
@pytest.mark.parametrize("stage", STAGES)
def test_a_right_export_passes(tmp_path: Path, stage: str, precision: Precision) -> None:
    report = export_tiny(stage, tmp_path, precision)
    assert report["precision"] == precision
    assert {file.name for file in tmp_path.iterdir()} == {"model.pt", "reference.npz", REPORT}


class TextMaskDropped(nn.Module):
    """SAM3 that takes the padding of a prompt for words."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, pixels: Tensor, tokens: Tensor, token_mask: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        answer: tuple[Tensor, ...] = self.inner(pixels, tokens, torch.ones_like(token_mask), *rest)
        return answer


class ChannelsSwapped(nn.Module):
    """A network that takes red for blue."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, pixels: Tensor, *others: Tensor) -> Tensor | tuple[Tensor, ...]:
        answer: Tensor | tuple[Tensor, ...] = self.inner(pixels.flip(1), *others)
        return answer


class BatchBakedIn(nn.Module):
    """A network traced so that it answers for one photo, however many there are."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, *inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
        answer: Tensor | tuple[Tensor, ...] = self.inner(*(value[:1] for value in inputs))
        return answer


class WithoutIslands(nn.Module):
    """A network in half precision throughout, outputs cast to what they must be at the very end."""

    def __init__(self, stage: str, inner: nn.Module) -> None:
        super().__init__()
        self.inner, self.outputs = inner.half(), read_contract(stage).outputs

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Tensor, "float", Tensor.half)
            answer = self.inner(*(value.half() if value.is_floating_point() else value for value in inputs))
        answers = answer if isinstance(answer, tuple) else (answer,)
        return tuple(value.to(spec.dtype) for value, spec in zip(answers, self.outputs, strict=True))


SABOTAGES: dict[str, tuple[str, Precision, Callable[[nn.Module], nn.Module]]] = {
    "segment, text mask dropped": ("segment", "fp32", TextMaskDropped),
    **{f"{stage}, channels swapped": (stage, "fp32", ChannelsSwapped) for stage in STAGES},
    **{f"{stage}, batch baked in": (stage, "fp32", BatchBakedIn) for stage in STAGES},
    **{f"{stage}, without islands": (stage, "fp16", partial(WithoutIslands, stage)) for stage in ("segment", "shadow")},
}


@pytest.mark.parametrize("case", SABOTAGES)
def test_a_sabotaged_export_is_refused_and_leaves_the_former_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    stage, precision, sabotage = SABOTAGES[case]
    (tmp_path / "model.pt").write_bytes(b"the model before")
    honest = torchscript_file.write
    monkeypatch.setattr(
        torchscript_file, "write", lambda inner, contract, folder: honest(sabotage(inner).eval(), contract, folder)
    )
    with pytest.raises(ExportError, match=f"{stage}: the file does not"):
        export_tiny(stage, tmp_path, precision)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == {"model.pt": b"the model before"}


@pytest.mark.parametrize("wrong", [0, 3])
def test_the_last_rows_of_a_batch_that_have_the_answers_of_the_first_are_found(wrong: int) -> None:
    """An engine was wrong in the last three rows of a batch of 12 alone; what is kept are three rows."""
    spec = TensorSpec("RESIDUAL", torch.float32, (1,))
    kept = torch.tensor([[0.1], [0.2], [0.3]])

    def engine(inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        answer = inputs[0].clone()
        if len(answer) == 12 and wrong:
            answer[-wrong:] = answer[:wrong]
        return (answer,)

    contract = Contract("albedo", (spec,), (spec,))
    found = measure(Reference((kept,), (kept,)), engine, contract, range(1, 17), "fp32", random_weights=True)
    assert {one.batch for one in found if not one.passed} == ({12} if wrong else set())


@pytest.mark.parametrize(("truth", "answer"), [(float("nan"), 0.1), (0.1, float("nan"))])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_score_that_only_the_file_or_only_the_network_knows_is_a_difference(
    truth: float, answer: float, precision: Precision
) -> None:
    spec = read_contract("albedo").outputs[1]
    values = compare(spec, torch.full((2, 1), answer), torch.full((2, 1), truth), precision, False)
    assert not all(Measurement("RESIDUAL", 2, *value).passed for value in values)
    values = compare(spec, torch.full((2, 1), truth), torch.full((2, 1), truth), precision, False)
    assert all(Measurement("RESIDUAL", 2, *value).passed for value in values)
