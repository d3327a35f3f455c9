"""Records, tokenising and the step loader: what a sample becomes, and which samples make which step."""

import json
from collections import Counter

import pytest
import tiny
import torch

from lingualift_ds.config.batch import plan_batch
from lingualift_ds.config.layout import IGNORE, prompt_layout
from lingualift_ds.config.schema import AlignmentConfig, BatchConfig
from lingualift_ds.data.loader import Padding, StepLoader
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


def test_prompt_without_room_for_the_text_is_an_error():
    with pytest.raises(DataError, match="leaves no room for the text within 20 tokens"):
        tokenizer(llm_max=20).prompt("apples and more apples, all of them", "Translate to pure English: " * 5)


def loader(count: int, world: int, micro: int, rank: int, seed: int = 0, samples: int = 8) -> StepLoader:
    tok = tokenizer()
    records = (Record(str(i), "apples " * (i % 7 + 1), "Solve:", f"The answer is {i}", "en") for i in range(count))
    plan = plan_batch(BatchConfig(samples=samples, micro_samples=micro), world, "batch")
    return StepLoader(list(tok.samples(records, Counter())), plan, rank, seed, Padding.of(tok.llm, tok.encoder))


def ids_of(step) -> list[str]:
    return [i for ids in step.sample_ids for i in ids]


@pytest.mark.parametrize(("world", "micro"), [(1, 8), (2, 4), (2, 2), (4, 1)])
def test_every_sample_once_an_epoch_and_the_same_steps_on_any_number_of_ranks(world, micro):
    reference = loader(21, 1, 8, 0)
    ranks = [loader(21, world, micro, r) for r in range(world)]
    for epoch in range(2):
        seen = []
        for _ in range(reference.steps_per_epoch):
            whole, parts = reference.next_step(), [r.next_step() for r in ranks]
            together = [i for part in parts for i in ids_of(part)]
            assert sorted(together) == sorted(ids_of(whole))
            targets = sum(int((b["targets"] != IGNORE).sum()) for p in parts for b in p.micro_batches)
            assert targets == whole.target_tokens == parts[0].target_tokens
            assert len({len(p.micro_batches) for p in parts}) == 1
            seen += together
        assert sorted(seen) == sorted(str(i) for i in range(21)), epoch


def test_order_depends_on_seed_and_epoch_alone():
    first, again, other = loader(21, 1, 8, 0), loader(21, 1, 8, 0), loader(21, 1, 8, 0, seed=1)
    epochs = [[ids_of(first.next_step()) for _ in range(3)] for _ in range(2)]
    assert epochs[0] != epochs[1]
    assert [ids_of(again.next_step()) for _ in range(3)] == epochs[0]
    assert [ids_of(other.next_step()) for _ in range(3)] != epochs[0]


@pytest.mark.parametrize("taken", [1, 3, 4])
def test_position_is_restored_across_an_epoch_boundary(taken):
    straight, stopped, resumed = (loader(21, 2, 4, 1) for _ in range(3))
    for _ in range(taken):
        straight.next_step(), stopped.next_step()
    resumed.load_state_dict(json.loads(json.dumps(stopped.state_dict())))
    for _ in range(4):
        a, b = straight.next_step(), resumed.next_step()
        assert a.sample_ids == b.sample_ids
        assert all(torch.equal(x[k], y[k]) for x, y in zip(a.micro_batches, b.micro_batches) for k in x)


def test_rank_without_a_sample_gets_a_weightless_batch():
    step = loader(1, 2, 4, rank=1).next_step()
    (batch,) = step.micro_batches
    assert step.sample_ids == [[]] and not (batch["targets"] != IGNORE).any() and step.target_tokens > 0


def test_every_real_gsm8k_row_is_readable(real_data):
    records = list(read_records(real_data / "gsm8k/train.jsonl", "auto", "Solve:"))
    whole = [r for r in records if r.target]
    assert len(records) > 7000 and len(whole) / len(records) > 0.99
    assert all("<<" not in r.target and "The answer is" in r.target for r in whole)
