"""Records, tokenising and the step loader: what a sample becomes, and which samples make which step."""

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import tiny
import torch

from lingualift_ds.config.batch import plan_batch
from lingualift_ds.config.layout import IGNORE, prompt_layout
from lingualift_ds.config.schema import AlignmentConfig, BatchConfig
from lingualift_ds.data.collate import BatchLayout
from lingualift_ds.data.loader import StepLoader
from lingualift_ds.data.packing import group, pack
from lingualift_ds.data.prepared import SampleList
from lingualift_ds.data.records import Record, read_records
from lingualift_ds.data.tokenize import SampleTokenizer
from lingualift_ds.errors import DataError

INSTRUCTION = "Translate the following code-switched {language} sentence to pure English:"


def rows(tmp_path, *values) -> str:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(v) + "\n" for v in values))
    return str(path)


def tokenizer(kind="ffn", llm_max=200, encoder_max=64) -> SampleTokenizer:
    layout = prompt_layout(AlignmentConfig(kind=kind, latents=5))
    return SampleTokenizer(tiny.llm_tokenizer(), llm_max, tiny.encoder_tokenizer("mt5"), encoder_max, layout)


def test_known_shapes_become_records(tmp_path):
    (gsm,) = read_records(rows(tmp_path, {"question": "Q?", "answer": "a <<1+1=2>>2\n#### 2"}), "auto", "Solve:")
    assert (gsm.text, gsm.target, gsm.instruction) == ("Q?", "a 2\nThe answer is 2", "Solve:")
    (meta,) = read_records(rows(tmp_path, {"query": "Q", "response": "R", "type": "x"}), "auto", "Solve:")
    assert (meta.text, meta.target) == ("Q", "R")
    alpaca = {"instruction": "Sum up.", "input": "1 2", "output": "3"}
    (alpaca,) = read_records(rows(tmp_path, alpaca), "auto", "Answer:")
    assert (alpaca.text, alpaca.target, alpaca.instruction) == ("Sum up.\n1 2", "3", "Answer:")
    own = {"id": "x", "text": "T", "target": "G", "language": "sw"}
    (own,) = read_records(rows(tmp_path, own), "auto", INSTRUCTION)
    assert own.instruction == INSTRUCTION.format(language="Swahili") and own.id == "x"


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"text": "a"}, r":2: 'target' is missing"),
        ({"text": "a", "target": 7}, r":2: 'target' is not text but int"),
    ],
)
def test_rows_that_do_not_fit_are_named(tmp_path, row, said):
    with pytest.raises(DataError, match=said):
        list(read_records(rows(tmp_path, {"text": "a", "target": "b"}, row), "auto", "x"))


def test_unknown_shape_names_the_known_ones(tmp_path):
    with pytest.raises(DataError, match="has the keys prompt; expected one of: records: text and target"):
        list(read_records(rows(tmp_path, {"prompt": "a"}), "auto", "x"))


@pytest.mark.parametrize("kind", ["linear", "ffn", "latent"])
def test_truncation_shortens_the_text_and_keeps_answer_and_eos(kind):
    tok = tokenizer(kind, llm_max=60, encoder_max=20)
    long = Record("a", "apples and manzanas " * 40, "Solve:", "The answer is 7", "en")
    counts = Counter()
    (sample,) = tok.samples([long], counts)
    assert len(sample.encoder_ids) == 20 and sample.llm_length <= 60
    assert sample.encoder_ids[-1] == tok.encoder.eos_token_id
    assert tok.llm.decode(sample.target_ids) == "The answer is 7</s>"
    assert sum(counts.values()) == 1 and "shortened" in next(iter(counts))


def test_text_only_truncation_keeps_the_instruction_too():
    tok = SampleTokenizer(tiny.llm_tokenizer(), 60)
    (sample,) = tok.samples([Record("a", "apples " * 100, "Solve:", "7", "en")], Counter())
    assert sample.llm_length == 60
    assert tok.llm.decode(sample.prompt_ids).endswith("Solve:") and tok.llm.decode(sample.target_ids) == "7</s>"


def test_rows_that_cannot_be_used_are_dropped_and_counted():
    counts = Counter()
    records = [
        Record("no target", "text", "x", "", "en"),
        Record("no text", "  ", "x", "7", "en"),
        Record("no room", "text " * 20, "x", "seven " * 100, "en"),
        Record("good", "text", "x", "7", "en"),
    ]
    kept = [s.id for s in tokenizer(llm_max=100).samples(records, counts)]
    assert kept == ["good"]
    assert counts == {
        "dropped, no target": 1,
        "dropped, no text": 1,
        "dropped, no room for the text beside instruction and target": 1,
    }


def loader(count: int, world: int, micro: int, rank: int, seed: int = 0, packed: bool = True, **batch) -> StepLoader:
    tok = tokenizer()
    records = (Record(str(i), "apples " * (i % 7 + 1), "Solve:", f"The answer is {i}", "en") for i in range(count))
    plan = plan_batch(BatchConfig(**(batch or {"samples": 8}), micro_tokens=micro), world)
    layout = BatchLayout.of(tok.llm, tok.encoder, tok.layout)
    layout = replace(layout, pack_llm=packed, pack_encoder=packed, encoder_blocks=2)
    return StepLoader(SampleList(tok.samples(records, Counter())), plan, rank, seed, layout)


def ids_of(step) -> list[str]:
    return [i for ids in step.sample_ids for i in ids]


def tokens_of(micro_batch: dict) -> int:
    llm = micro_batch["llm"]
    return sum(llm["lengths"]) if "lengths" in llm else int(llm["mask"].sum())


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("batch", [{"samples": 8}, {"tokens": 300}])
@pytest.mark.parametrize(("world", "micro"), [(1, 400), (2, 200), (2, 60), (4, 60)])
def test_every_sample_once_an_epoch_and_the_same_steps_on_any_number_of_ranks(world, micro, batch, packed):
    reference = loader(21, 1, 400, 0, **batch)
    ranks = [loader(21, world, micro, r, packed=packed, **batch) for r in range(world)]
    for epoch in range(2):
        seen = []
        for _ in range(reference.steps_in(epoch)):
            whole, parts = reference.next_step(), [r.next_step() for r in ranks]
            together = [i for part in parts for i in ids_of(part)]
            assert sorted(together) == sorted(ids_of(whole))
            batches = [b for p in parts for b in p.micro_batches]
            targets = sum(int((b["targets"] != IGNORE).sum()) for b in batches)
            assert targets == whole.target_tokens == parts[0].target_tokens
            held = sum(tokens_of(b) for p in parts for b, i in zip(p.micro_batches, p.sample_ids) if i)
            assert held == whole.llm_tokens == parts[0].llm_tokens
            assert sum(b["llm"]["ids"].numel() for b in batches) == parts[0].llm_positions
            assert sum(e["ids"].numel() for b in batches for e in b["encoder"]["blocks"]) == parts[0].encoder_positions
            assert all(b["llm"]["ids"].numel() <= micro for b in batches)
            assert len({len(p.micro_batches) for p in parts}) == 1
            seen += together
        assert sorted(seen) == sorted(str(i) for i in range(21)), epoch


def test_a_batch_in_tokens_holds_as_many_whole_samples_as_fit():
    steps = loader(21, 1, 400, 0, tokens=300)
    sizes = [steps.next_step().llm_tokens for _ in range(steps.steps_in(0))]
    longest = int(steps.samples.llm_lengths.max())
    assert max(sizes) <= 300 and all(size > 300 - longest for size in sizes[:-1])
    assert sum(sizes) == steps.samples.llm_lengths.sum()


@pytest.mark.parametrize("world", [1, 2, 3])
@pytest.mark.parametrize("fill", [pack, group])
def test_bins_hold_every_sample_once_within_the_budget(world, fill):
    rng = np.random.default_rng(world)
    for count in (1, 2, 7, 200):
        lengths = rng.integers(20, 400, count)
        bins = fill(lengths, 1000, world)
        assert len(bins) % world == 0 and sorted(i for b in bins for i in b) == list(range(count))
        assert bins == fill(lengths, 1000, world)
        for held in filter(None, bins):
            assert (lengths[held].sum() if fill is pack else lengths[held].max() * len(held)) <= 1000


def test_packed_bins_are_few_and_even():
    lengths = np.random.default_rng(0).integers(20, 400, 300)
    bins = pack(lengths, 2000, 2)
    loads = [int(lengths[b].sum()) for b in bins]
    assert len(bins) <= -(-int(lengths.sum()) // 2000) + 2, "more passes than tokens need"
    assert min(loads) > 0.98 * max(loads), "ranks would wait for each other"


def test_order_depends_on_seed_and_epoch_alone():
    first, again, other = loader(21, 1, 400, 0), loader(21, 1, 400, 0), loader(21, 1, 400, 0, seed=1)
    epochs = [[ids_of(first.next_step()) for _ in range(3)] for _ in range(2)]
    assert epochs[0] != epochs[1]
    assert [ids_of(again.next_step()) for _ in range(3)] == epochs[0]
    assert [ids_of(other.next_step()) for _ in range(3)] != epochs[0]


@pytest.mark.parametrize("taken", [1, 3, 4])
@pytest.mark.parametrize("batch", [{"samples": 8}, {"tokens": 300}])
def test_position_is_restored_across_an_epoch_boundary(taken, batch):
    straight, stopped, resumed = (loader(21, 2, 100, 1, **batch) for _ in range(3))
    for _ in range(taken):
        straight.next_step(), stopped.next_step()
    resumed.load_state_dict(json.loads(json.dumps(stopped.state_dict())))
    for _ in range(4):
        a, b = straight.next_step(), resumed.next_step()
        assert a.sample_ids == b.sample_ids
        assert all(torch.equal(x["llm"]["ids"], y["llm"]["ids"]) for x, y in zip(a.micro_batches, b.micro_batches))
        assert all(torch.equal(x["targets"], y["targets"]) for x, y in zip(a.micro_batches, b.micro_batches))


def test_rank_without_a_sample_gets_a_weightless_batch():
    step = loader(1, 2, 400, rank=1).next_step()
    (batch,) = step.micro_batches
    assert step.sample_ids == [[]] and not (batch["targets"] != IGNORE).any() and step.target_tokens > 0
    assert step.llm_positions == 2 * step.llm_tokens, "the weightless copy is computed too, and counts as padding"


def test_every_real_gsm8k_row_is_readable(real_data):
    records = list(read_records(real_data / "gsm8k/train.jsonl", "auto", "Solve:"))
    whole = [r for r in records if r.target]
    assert len(records) > 7000 and len(whole) / len(records) > 0.99
    assert all("<<" not in r.target and "The answer is" in r.target for r in whole)
