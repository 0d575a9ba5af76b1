"""What the SAM3 graph promises: it is transformers' Sam3Model with its published post-processing, in every format."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizer import PromptError, Tokenizer
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import CLIPTokenizer, Sam3Config, Sam3Model, Sam3VideoConfig

from export.check.gate import TOLERANCE
from export.files import onnx_file
from export.networks.hub.sam3 import (
    Sam3Segment,
    Selection,
    load_sam3,
    tiny_sam3,
    tiny_vocabulary,
    write_tokenizer,
)
from export.tensors import Contract, TensorSpec, example_inputs, read_contract

CONTRACT = read_contract("segment")
QUERIES = Contract(
    "queries",
    (
        TensorSpec("LOGITS", torch.float32, (10,)),
        TensorSpec("PRESENCE", torch.float32, (1,)),
        TensorSpec("BOXES", torch.float32, (10, 4)),
        TensorSpec("MASKS", torch.float32, (10, 32, 32)),
        TensorSpec("THRESHOLDS", torch.float32, (2,)),
    ),
    CONTRACT.outputs,
)
PROMPTS = (
    "person",
    "  A Man,\n standing  in\tthe RED coat ",
    "the woman's 2nd dog: it'll do, I'm sure!!",
    "naïve café — Größe",
    "nai\u0308ve cafe\u0301",
    "写真の人 2 人",
    "👩‍🚀 person",
    "٣ ½ x² ß ﬁ",
    "person<|endoftext|>man",
    "a\u00a0man\u3000and\u2028a dog\u200b\x85.",
    "İstanbul",
)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """On a shared machine a network this small spends its time waiting for its second thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@cache
def segment(selection: Selection = "best") -> Sam3Segment:
    return Sam3Segment(tiny_sam3(seed=1), selection)


def split_thresholds(inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """The same inputs, each row's score threshold between its fourth and fifth score."""
    scores, _, _ = published(inputs)
    ranked = scores.sort(dim=1, descending=True).values
    split = torch.stack((ranked[:, 3:5].mean(1), torch.full((len(ranked),), 0.5)), dim=1)
    return (*inputs[:3], split, *inputs[4:])


@cache
def original() -> Sam3Model:
    """The published model of `segment`'s weights."""
    return tiny_sam3(seed=1)


@torch.no_grad()
def published(inputs: tuple[Tensor, ...]) -> tuple[Tensor, Tensor, Tensor]:
    """Scores [B,10], boxes [B,10,4] and mask probabilities [B,10,32,32] as transformers' image processor has them.

    From Sam3ImageProcessor.post_process_instance_segmentation, which cannot be imported without torchvision.
    """
    pixels, tokens, token_mask, *_ = inputs
    shrunk = pixels.float().reshape(-1, 3, 112, 9, 112, 9).mean((3, 5)) / 127.5 - 1.0
    found: Any = original()(pixel_values=shrunk, input_ids=tokens, attention_mask=token_mask)
    scores = found.pred_logits.sigmoid() * found.presence_logits.sigmoid()
    return scores, found.pred_boxes, found.pred_masks.sigmoid()


@torch.no_grad()
def answer(inputs: tuple[Tensor, ...], selection: Selection = "best") -> tuple[Tensor, Tensor, Tensor, Tensor]:
    alpha, score, box, count = segment(selection)(*inputs)
    return alpha, score, box, count


def enlarge(masks: Tensor) -> Tensor:
    return F.interpolate(masks, (288, 288), mode="bilinear", align_corners=False)


@torch.no_grad()
def test_every_query_answers_as_in_the_published_model() -> None:
    pixels, tokens, token_mask, *_ = example_inputs(CONTRACT, 3, seed=10)
    shrunk = segment().normalise(pixels)
    found: Any = original()(pixel_values=shrunk, input_ids=tokens, attention_mask=token_mask)
    wanted = (found.pred_logits, found.presence_logits, found.pred_boxes, found.pred_masks)
    for answer, truth in zip(segment().model(shrunk, tokens, token_mask), wanted, strict=True):
        assert (answer - truth).abs().max() <= 1e-5 * truth.abs().max()
        assert (truth[1:] - truth[:-1]).abs().max() > 0.01, "photos so alike that any two would agree"


def test_half_precision_leaves_the_tables_of_positions_as_they_are() -> None:
    network = Sam3Segment(tiny_sam3(1))
    tables = {name: table.clone() for name, table in network.named_buffers() if table.is_floating_point()}
    network.cast_weights(torch.float16)
    assert len([name for name in tables if name.endswith((".cos", ".sin"))]) == 2 * len(network.model.vit.layers)
    for name, table in tables.items():
        assert network.get_buffer(name).dtype == torch.float32
        assert torch.equal(network.get_buffer(name), table), name
    assert {weight.dtype for weight in network.parameters()} == {torch.float16}


def test_best_is_the_published_processing_of_the_highest_score() -> None:
    inputs = split_thresholds(example_inputs(CONTRACT, 4, seed=11))
    lengths = inputs[2].sum(1)
    assert len(set(lengths.tolist())) > 1, "prompts of one length would not show a padding fault"
    alpha, score, box, count = answer(inputs)
    scores, boxes, masks = published(inputs)
    for row, threshold in enumerate(inputs[3][:, 0]):
        kept = scores[row] > threshold
        best = int(scores[row].argmax())
        assert count[row] == kept.sum() == 4
        torch.testing.assert_close(score[row, 0], scores[row, best], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(box[row], boxes[row, best].clamp(0, 1), rtol=1e-4, atol=1e-5)
        expected = enlarge(masks[row, None, best, None])[0]
        torch.testing.assert_close(alpha[row], expected, rtol=1e-4, atol=1e-4)
        assert 0.01 < (expected > 0.5).float().mean() < 0.99, "an empty mask agrees with anything"
        assert ((alpha[row] > 0.5) != (expected > 0.5)).float().mean() < 1e-3


def test_union_is_the_maximum_over_kept_queries_and_covers_their_boxes() -> None:
    inputs = split_thresholds(example_inputs(CONTRACT, 3, seed=12))
    alpha, score, box, count = answer(inputs, "union")
    scores, boxes, masks = published(inputs)
    for row, threshold in enumerate(inputs[3][:, 0]):
        kept = scores[row] > threshold
        expected = enlarge(masks[row, kept].amax(0)[None, None])[0]
        torch.testing.assert_close(alpha[row], expected, rtol=1e-4, atol=1e-4)
        corners = boxes[row, kept].clamp(0, 1)
        union = torch.cat((corners[:, :2].amin(0), corners[:, 2:].amax(0)))
        torch.testing.assert_close(box[row], union, rtol=1e-4, atol=1e-5)
    best = answer(inputs)
    assert (alpha >= best[0] - 1e-6).all()
    assert (alpha - best[0]).max() > 0.1
    assert torch.equal(score, best[1])
    assert torch.equal(count, best[3])


def test_count_follows_the_score_threshold_and_none_kept_still_gives_the_best() -> None:
    inputs = example_inputs(CONTRACT, 2, seed=13)
    for selection in ("best", "union"):
        everything, nothing, at_best = (
            answer((*inputs[:3], torch.full((2, 2), threshold), *inputs[4:]), selection)
            for threshold in (0.0, 1.0, 0.5)
        )
        assert everything[3].flatten().tolist() == [10, 10]
        assert nothing[3].flatten().tolist() == [0, 0]
        expected = answer(inputs, "best")
        for given, wanted in zip(nothing[:3], expected[:3], strict=True):
            assert torch.equal(given, wanted)
        # The processing keeps what is above the threshold, not what is equal to it.
        at_best = answer((*inputs[:3], expected[1].expand(2, 2), *inputs[4:]), selection)
        assert at_best[3].flatten().tolist() == [0, 0]


def test_each_input_reaches_the_answer() -> None:
    """A graph that drops the text mask, the prompt or swaps colours is far outside the gate's tolerance."""
    pixels, tokens, token_mask, *rest = example_inputs(CONTRACT, 3, seed=14)
    truth = answer((pixels, tokens, token_mask, *rest))
    wrong = {
        "text mask dropped": (pixels, tokens, torch.ones_like(token_mask), *rest),
        "prompts shifted by a row": (pixels, tokens.roll(1, 0), token_mask, *rest),
        "colours swapped": (pixels.flip(1), tokens, token_mask, *rest),
    }
    for fault, inputs in wrong.items():
        for row in range(3):
            alpha = answer(inputs)[0][row]
            found = (alpha - truth[0][row]).abs().max().item()
            assert found > 20 * TOLERANCE, f"{fault}: only {found:.2g} in row {row}"


def test_padding_ids_do_not_matter() -> None:
    pixels, tokens, token_mask, *rest = example_inputs(CONTRACT, 2, seed=15)
    other = torch.where(token_mask.bool(), tokens, 599)
    for given, wanted in zip(
        answer((pixels, other, token_mask, *rest)), answer((pixels, tokens, token_mask, *rest)), strict=True
    ):
        torch.testing.assert_close(given, wanted, rtol=1e-4, atol=1e-5)


class Select(nn.Module):
    """The selection without the network: what differs between best and union, exported in seconds."""

    def __init__(self, whole: Sam3Segment) -> None:
        super().__init__()
        self.whole = whole

    def forward(
        self, logits: Tensor, presence: Tensor, boxes: Tensor, masks: Tensor, thresholds: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return self.whole.select(logits, presence, boxes, masks, thresholds)


def test_the_union_exports(tmp_path: Path) -> None:
    onnx_file.write(Select(segment("union")), QUERIES, tmp_path)
    inputs = (
        *example_inputs(QUERIES, 5, seed=17)[:4],
        torch.tensor([[0.0], [0.33], [0.36], [0.4], [1.0]]).repeat(1, 2),
    )
    given = onnx_file.load(tmp_path, QUERIES)(inputs)
    expected = Select(segment("union"))(*inputs)
    counts = expected[3].flatten().tolist()
    assert counts[0] == 10
    assert counts[4] == 0
    assert any(0 < count < 10 for count in counts), "no row has kept some"
    for actual, wanted in zip(given, expected, strict=True):
        torch.testing.assert_close(actual, wanted, rtol=0, atol=1e-4)


def test_a_checkpoint_is_loaded_whole_or_refused(tmp_path: Path) -> None:
    model = tiny_sam3(seed=2)
    model.save_pretrained(tmp_path / "sam3")
    weights = load_file(tmp_path / "sam3" / "model.safetensors")
    # The published file is a video checkpoint: the image model's weights have a prefix, others lie beside them.
    video = tmp_path / "video"
    Sam3VideoConfig(detector_config=model.config.to_dict()).save_pretrained(video)
    prefixed = {f"detector_model.{name}": weight for name, weight in weights.items()}
    save_file({**prefixed, "tracker_model.other": torch.zeros(3)}, video / "model.safetensors", {"format": "pt"})
    for folder in ("sam3", "video"):
        loaded = load_sam3(str(tmp_path / folder))
        assert not loaded.training
        for name, weight in model.state_dict().items():
            assert torch.equal(loaded.state_dict()[name], weight), name
    prefixed.pop("detector_model.text_projection.weight")
    save_file(prefixed, video / "model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match=r"lacks 1 of SAM3's tensors, e\.g\. text_projection\.weight"):
        load_sam3(str(video))
    with pytest.raises(OSError, match="absent"):
        load_sam3(str(tmp_path / "absent"))


def test_the_published_architecture_has_its_parameters() -> None:
    with torch.device("meta"):
        model = Sam3Model(Sam3Config())
    assert sum(weight.numel() for weight in model.parameters()) == pytest.approx(840.4e6, rel=1e-3)
    assert Sam3Segment(model).mask_side == 288


def test_what_does_not_fit_the_contract_is_refused() -> None:
    with pytest.raises(ValueError, match="choose best or union"):
        Sam3Segment(tiny_sam3(1), "all")  # type: ignore[arg-type]
    model = tiny_sam3(1)
    cast(Any, model.config.text_config).max_position_embeddings = 16
    with pytest.raises(ValueError, match="reads 16 tokens"):
        Sam3Segment(model)
    cast(Any, model.config.text_config).max_position_embeddings = 32
    cast(Any, model.vision_encoder.backbone.config).window_size = 3
    with pytest.raises(ValueError, match="windows of 3 patches do not fill its grid of 8"):
        Sam3Segment(model)


def test_decode_reads_a_prompt_as_the_checkpoints_tokenizer_does(tmp_path: Path) -> None:
    ids, merges = tiny_vocabulary()
    reference = CLIPTokenizer(vocab=ids, merges=merges)  # type: ignore[arg-type]  # annotated as str, given on as is
    reference.save_pretrained(tmp_path / "checkpoint")
    (tmp_path / "decode").mkdir()
    write_tokenizer(str(tmp_path / "checkpoint"), tmp_path / "decode")
    decode = Tokenizer(tmp_path / "decode")
    assert len(reference("person man dog").input_ids) < 10, "the merges are not used"
    for prompt in (*PROMPTS, "person " * 30):
        wanted = reference(prompt, padding="max_length", max_length=32)
        if len(wanted.input_ids) > 32:
            with pytest.raises(PromptError):
                decode.encode(prompt)
        else:
            assert decode.encode(prompt) == (tuple(wanted.input_ids), tuple(wanted.attention_mask)), prompt


def test_the_tiny_tokenizer_fits_the_tiny_model(tmp_path: Path) -> None:
    write_tokenizer(None, tmp_path)
    ids, mask = Tokenizer(tmp_path).encode("person in a red coat 写")
    assert max(ids) < tiny_sam3(1).vocab_size
    assert ids[0] == 598
    assert ids[sum(mask) - 1] == 599
