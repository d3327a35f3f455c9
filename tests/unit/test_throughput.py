"""The throughput benchmark: both arms compute the same, padding never counts, lengths are those of real samples."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from launching import ROOT, launch

sys.path.insert(0, str(ROOT))

from benchmarks import lengths, reference, shapes, throughput
from lingualift_ds.config.layout import prompt_layout
from lingualift_ds.config.schema import AlignmentConfig, ModelConfig
from lingualift_ds.data.collate import BatchLayout, collate
from lingualift_ds.model.arrangement import arrange_encoder, arrange_llm, use
from lingualift_ds.model.bridge import BridgedModel
from lingualift_ds.model.encoders import let_pack
from lingualift_ds.model.loss import fuse_head
from lingualift_ds.train.stages import LINGUALIFT

TINY = shapes.PRESETS["tiny"]
LAYOUT = prompt_layout(AlignmentConfig())
CPU = torch.device("cpu")


def samples(stage: int, count: int = 6):
    return shapes.make_samples(lengths.read_lengths(None), stage, count, 0, TINY, LAYOUT)


@pytest.fixture(scope="module")
def parts() -> dict[str, torch.nn.Module]:
    torch.manual_seed(0)
    return {
        "encoder": shapes.random_encoder(TINY, torch.float32, CPU, 0).eval(),
        "alignment": shapes.alignment_layer(TINY),
        "llm": shapes.random_llm(TINY, torch.float32, CPU, 0, "sdpa"),
    }


def theirs(parts, count_padding: bool = False) -> reference.ReferenceModel:
    layer = parts["alignment"]
    bounded = reference.BoundedProjection(layer.project, layer.begin, layer.end)
    return reference.ReferenceModel(parts["encoder"], bounded, parts["llm"], count_padding)


def gradients(parts, trained: tuple[str, ...], loss: torch.Tensor) -> list[torch.Tensor]:
    """Of the trained parameters, which are left without."""
    weights = [p for name in trained for p in parts[name].parameters()]
    loss.backward()
    found = [w.grad for w in weights]
    for weight in weights:
        weight.grad = None
    return found


@pytest.mark.parametrize("stage", (1, 2))
def test_reference_and_ours_are_the_same_computation(parts, stage):
    trained = LINGUALIFT[stage].trains
    for name, part in parts.items():
        part.requires_grad_(name in trained)
    use(parts["llm"], replace(arrange_llm(ModelConfig("", ""), TINY.llm_config(), False)[0], kernel="sdpa"))
    use(parts["encoder"], arrange_encoder(ModelConfig("", ""), TINY.encoder_config(), False)[0])
    batch = reference.collate(samples(stage))
    summed, targets = theirs(parts)(**batch)
    expected, expected_gradients = summed / targets, gradients(parts, trained, summed / targets)

    ours = BridgedModel(parts["llm"], parts["encoder"], parts["alignment"])
    ours.fused_loss = fuse_head(parts["llm"])
    let_pack(parts["encoder"])
    model = ModelConfig("", "", precision="fp32")
    use(parts["llm"], arrange_llm(model, TINY.llm_config(), True)[0])
    use(parts["encoder"], arrange_encoder(model, TINY.encoder_config(), True)[0])
    packed = collate(samples(stage), BatchLayout(llm_pad=0, has_bos=True, encoder_pad=0, prompt=LAYOUT))
    assert len(packed["targets"]) == targets
    loss = ours(**packed) / targets
    # fp32: the same terms, summed in another order.
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    for found, wanted in zip(gradients(parts, trained, loss), expected_gradients, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-5 * wanted.abs().max().item() + 1e-7)


def test_the_comparison_of_losses_would_see_counted_padding(parts):
    use(parts["llm"], replace(arrange_llm(ModelConfig("", ""), TINY.llm_config(), False)[0], kernel="sdpa"))
    use(parts["encoder"], arrange_encoder(ModelConfig("", ""), TINY.encoder_config(), False)[0])
    batch = reference.collate(samples(2))
    with torch.no_grad():
        counted, skipped = (theirs(parts, count)(**batch)[0].item() for count in (True, False))
    assert abs(counted - skipped) > 2e-4 * skipped


def test_only_what_carries_something_is_counted():
    chosen = samples(1, 8)
    llm, encoder = shapes.real_tokens(chosen)
    assert encoder == sum(len(s.encoder_ids) for s in chosen)
    # BOS, two boundaries around a row per encoder token, instruction and target.
    assert llm == encoder + sum(len(s.prompt_ids) + len(s.target_ids) + 2 for s in chosen)
    batch = reference.collate(chosen)
    positions = reference.positions(batch)
    assert positions[1] == batch["encoder_ids"].numel() > encoder
    assert positions[0] == 8 * (batch["encoder_ids"].shape[1] + batch["text_ids"].shape[1] + 2) > llm
    assert int(batch["encoder_mask"].sum()) == encoder
    assert int((batch["labels"] != reference.IGNORE).sum()) == sum(len(s.target_ids) for s in chosen)


def test_the_work_of_a_step_does_not_depend_on_its_batches():
    sizes = {"encoder": {"layers": 10}, "alignment": {"layers": 100}, "llm": {"layers": 1000}}
    chosen = samples(2, 4)
    apart = sum(shapes.necessary_flops([s], 2, TINY, sizes) for s in chosen)
    assert shapes.necessary_flops(chosen, 2, TINY, sizes) == pytest.approx(apart)
    one = chosen[0]
    tokens, text, targets = one.llm_length, len(one.encoder_ids), len(one.target_ids)
    attention = 6 * tokens**2 * 64 * 2 + 4 * text**2 * 64 * 2
    expected = 6 * (1000 * tokens + 64 * 500 * targets) + 2 * (10 + 100) * text + attention
    assert shapes.necessary_flops([one], 2, TINY, sizes) == pytest.approx(expected)


def test_every_sample_is_dealt_once():
    chosen = samples(1, 16)
    dealt = [reference.deal(chosen, rank, 2, 4, seed=3) for rank in range(2)]
    assert [len(micro) for rank in dealt for micro in rank] == [4] * 4
    assert sorted(s.id for rank in dealt for micro in rank for s in micro) == [s.id for s in chosen]


def test_built_in_lengths_are_like_real_ones(real_data):
    built_in, real = (lengths.read_lengths(folder).table for folder in (None, real_data))
    assert len(real) == 7476
    assert built_in.mean(axis=0) == pytest.approx(real.mean(axis=0), rel=0.02)
    assert np.percentile(built_in, 90, axis=0) == pytest.approx(np.percentile(real, 90, axis=0), rel=0.05)
    assert np.array_equal(lengths.thinned(real, len(built_in)), built_in)


def test_built_in_lengths_are_sane():
    table = lengths.read_lengths(None).table
    assert table.shape == (256, 3) and table.min() > 10 and table.max() < 500
    encoder, llm, answer = table.T
    # The encoder's vocabulary is spread over many languages, and answers work through what questions ask.
    assert (encoder >= llm).all() and answer.mean() > 1.5 * llm.mean()
    assert np.corrcoef(llm, answer)[0, 1] > 0.3


def test_token_counts_follow_digits_and_words():
    assert lengths.llm_tokens("Ann has 12 apples.\n") == 1 + 1 + 2 + 2 + 1 + 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--pairs", "0"], "--pairs: 0, must be above 0"),
        (["--preset", "huge"], "argument --preset: invalid choice: 'huge'"),
        (["--ablate", "--without", "packing"], "--ablate and --without exclude each other"),
        (["--data", "nowhere"], "--data nowhere: no gsm8k/train.jsonl there"),
        (["--json", "nowhere/found.json"], "no such folder: nowhere"),
    ],
)
def test_a_bad_option_is_one_line(options, said, capsys):
    assert throughput.main(options) == 2
    line = capsys.readouterr().err
    assert said in line and line.count("\n") == 1


def test_the_whole_course_at_once(tmp_path: Path):
    found_in = tmp_path / "found.json"
    options = ["--preset", "tiny", "--pairs", "1", "--stage", "2", "--without", "residency", "--json", str(found_in)]
    said = launch(1, "python", ROOT / "benchmarks/throughput.py", *options)
    stage = json.loads(found_in.read_text())["stages"]["2"]
    ours, theirs = (stage["arms"][name] for name in ("ours without residency", "reference"))
    assert ours["check_loss"] == pytest.approx(theirs["check_loss"], rel=1e-4)
    assert ours["llm_padding"] == ours["encoder_padding"] == 0 < theirs["llm_padding"]
    assert "ours without residency" in said and stage["pairs"] == len(ours["ratio_to_reference"]["pairs"]) == 1
