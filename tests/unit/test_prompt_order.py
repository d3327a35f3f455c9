"""What encoder and LLM read, in the order a stage states: the same in training, in the hub's model and on disk."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from torch.nn import functional
from transformers import AutoConfig, AutoTokenizer

from lingualift_ds import hub
from lingualift_ds.config.layout import IGNORE, prompt_layout
from lingualift_ds.config.load import load_config
from lingualift_ds.config.schema import AlignmentConfig
from lingualift_ds.data.cache import prepared_samples
from lingualift_ds.data.collate import BatchLayout, collate
from lingualift_ds.data.prepared import SampleList
from lingualift_ds.data.records import Record, read_records
from lingualift_ds.data.rows import Rows
from lingualift_ds.data.tokenize import SampleTokenizer
from lingualift_ds.evaluate.harness.asking import Bridged, loglikelihoods
from lingualift_ds.evaluate.harness.requests import Request
from lingualift_ds.model.bridge import BridgedModel
from lingualift_ds.train import build
from lingualift_ds.train.handover import described
from lingualift_ds.train.probe import Probe
from lingualift_ds.train.stages import stage_of

SOFT, TOLD, TEXT = "soft_prompt", "instruction", "text"
ORDERS = [(SOFT,), (SOFT, TEXT), (SOFT, TEXT, TOLD), (TEXT, SOFT, TOLD), (TOLD, TEXT, SOFT)]
ALONE = [(TEXT,), (TOLD, TEXT)]
QUESTIONS = ["Ana ana tufaha 3", *tiny.TEXTS[:3], "3 + 4"]
INSTRUCTION = "Solve the following math problem:"


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bases")
    llms = {bos: tiny.save_llm(folder / f"llm{bos}", "llama", bos=bos) for bos in (True, False)}
    return llms | {"encoder": tiny.save_encoder(folder / "encoder")}


def make(bases, prompt, kind: str | None = "ffn", bos=True, **settings) -> hub.LinguaLiftForCausalLM:
    """A random model with that prompt, text alone where `kind` is None."""
    folders = [bases[bos], kind and bases["encoder"]]
    llm, encoder = (folder and AutoTokenizer.from_pretrained(folder) for folder in folders)
    config = hub.LinguaLiftConfig(
        *(folder and AutoConfig.from_pretrained(folder) for folder in folders),
        **{"alignment": {"kind": kind or "ffn", "latents": 4}, "instruction": INSTRUCTION, "prompt": prompt} | settings,
        llm_max_tokens=200,
        encoder_max_tokens=60,
        bos_token_id=llm.bos_token_id,
        eos_token_id=2,
        pad_token_id=0,
    )
    torch.manual_seed(1)
    model = hub.LinguaLiftForCausalLM(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():  # away from what initialises them: else all next tokens are near equal
            parameter.add_(torch.randn_like(parameter) * 0.1)
    model.processor = hub.LinguaLiftProcessor(llm, encoder, config)
    return model


def by_hand(model, question: str, prompt, read: str | None = None) -> torch.Tensor:
    """Embeddings [1, W, D] of a question's prompt, part after part as the method has it; `read` by the encoder."""
    llm, encoder, embed = model.processor.llm, model.processor.encoder, model.get_input_embeddings()
    plain = lambda text: embed(torch.tensor([llm(text, add_special_tokens=False)["input_ids"]]).long())  # noqa: E731
    parts = [] if llm.bos_token_id is None else [embed(torch.tensor([[llm.bos_token_id]]))]
    for part in prompt:
        if part == SOFT:
            ids, layer = torch.tensor([encoder(read or question)["input_ids"]]), model.alignment
            mask = torch.ones_like(ids)
            states = model.encoder(input_ids=ids, attention_mask=mask).last_hidden_state
            rows = layer.project(states, mask.bool()) if layer.layout.latents else layer.project(states)
            begin = [layer.begin[None, None]] if layer.begin is not None else []
            parts += [*begin, rows, layer.end[None, None]]
        else:
            parts.append(plain(question if part == TEXT else INSTRUCTION))
    return torch.cat(parts, dim=1)


def summed_loss(model, question: str, target: str, prompt) -> float:
    """Cross entropy of a target behind that prompt, in nats."""
    ids = torch.tensor(model.processor.llm(target, add_special_tokens=False)["input_ids"])
    embeds = torch.cat([by_hand(model, question, prompt), model.get_input_embeddings()(ids)[None]], dim=1)
    logits = model.llm(inputs_embeds=embeds).logits[0, -len(ids) - 1 : -1]
    return float(functional.cross_entropy(logits, ids, reduction="sum"))


def greedy(model, embeds: torch.Tensor, steps: int) -> list[int]:
    found = []
    while len(found) < steps and 2 not in found:
        found.append(int(model.llm(inputs_embeds=embeds).logits[0, -1].argmax()))
        embeds = torch.cat([embeds, model.get_input_embeddings()(torch.tensor([found[-1:]]))], dim=1)
    return found


CASES = [(prompt, kind, bos) for prompt in ORDERS for kind, bos in (("ffn", True), ("latent", False))]
CASES += [(prompt, None, bos) for prompt in ALONE for bos in (True, False)]


@pytest.mark.parametrize(("prompt", "kind", "bos"), CASES)
@torch.no_grad()
def test_training_and_the_hub_read_the_parts_in_order(bases, prompt, kind, bos):
    model = make(bases, prompt, kind, bos)
    targets = [f"The answer is {number}" for number in range(len(QUESTIONS))]
    expected = sum(summed_loss(model, q, f"{t}</s>", prompt) for q, t in zip(QUESTIONS, targets))
    tokenizer = model.processor.tokenizer
    samples = model.processor.samples(QUESTIONS, None, targets)
    layout = BatchLayout.of(tokenizer.llm, tokenizer.encoder, tokenizer.layout)
    bridged = BridgedModel(model.llm, model.encoder, model.alignment).eval()
    padded = replace(layout, pack_llm=False, pack_encoder=False, encoder_blocks=2)
    assert float(bridged(**collate(samples, padded))) == pytest.approx(expected, rel=1e-5)
    for side in ("left", "right"):
        inputs = model.processor(QUESTIONS, None, targets, padding_side=side)
        count = int((inputs["labels"] != IGNORE).sum())
        assert float(model(**inputs).loss) * count == pytest.approx(expected, rel=1e-5)
        del inputs["labels"]
        _, mask = model.prompt_embeddings(**inputs)
        assert mask.sum(1).tolist() == [sample.llm_length for sample in samples]


@pytest.mark.parametrize(("prompt", "kind", "bos"), CASES)
@torch.no_grad()
def test_answers_and_log_likelihoods_follow_the_same_prompt(bases, prompt, kind, bos):
    model = make(bases, prompt, kind, bos)
    for row, question in zip(model.generate(**model.processor(QUESTIONS), max_new_tokens=5).tolist(), QUESTIONS):
        expected = greedy(model, by_hand(model, question, prompt), 5)
        assert row[: len(expected)] == expected
    way = Bridged(model)
    requests = [Request("t", n, 0, q, None, " 7 apples") for n, q in enumerate(QUESTIONS)]
    found = loglikelihoods(way, way.samples(requests, Counter()))
    for (likelihood, _), question in zip(found, QUESTIONS):
        assert likelihood == pytest.approx(-summed_loss(model, question, " 7 apples", prompt), rel=1e-5)


@torch.no_grad()
def test_the_encoder_reads_what_its_template_says_and_no_more(bases):
    model = make(bases, (SOFT, TEXT), encoder_input="{instruction} {text}?")
    question = "What is {instruction} or {text}"  # a question's own braces are text
    read = f"{INSTRUCTION} {question}?"
    embeds, _ = model.prompt_embeddings(**model.processor([question]))
    assert torch.allclose(embeds, by_hand(model, question, (SOFT, TEXT), read), atol=1e-5)


@pytest.mark.parametrize("kind", ["ffn", None])
@torch.no_grad()
def test_the_llm_reads_the_text_in_the_template_that_it_was_tuned_with(bases, kind):
    template = "### Instruction:\n{instruction} {text}\n\n### Response: "
    order = (SOFT, TEXT) if kind else (TEXT,)
    model = make(bases, order, kind, llm_input=template)
    question = "What is {instruction} or {text}"
    filled = f"### Instruction:\n{INSTRUCTION} {question}\n\n### Response: "
    embeds, _ = model.prompt_embeddings(**model.processor([question]))
    assert torch.allclose(embeds, by_hand(model, filled, order, question), atol=1e-5)


def test_a_saved_model_keeps_its_prompt_and_an_older_one_has_the_usual(bases, tmp_path):
    model = make(bases, (TEXT, SOFT), encoder_input="{instruction} {text}", llm_input="Q: {text} A:")
    model.save_pretrained(tmp_path)
    again = hub.load_model(tmp_path)
    assert again.answer(QUESTIONS, max_new_tokens=4) == model.answer(QUESTIONS, max_new_tokens=4)
    path = tmp_path / "config.json"
    older = json.loads(path.read_text())
    assert older.pop("prompt") == [TEXT, SOFT] and older.pop("encoder_input") == "{instruction} {text}"
    assert older.pop("llm_input") == "Q: {text} A:"
    path.write_text(json.dumps(older))
    assert hub.load_model(tmp_path).config.prompt == [SOFT, TOLD]
    assert make(bases, None, None).config.prompt == [TEXT, TOLD]
    assert "soft_prompt_at" not in hub.load_model(tmp_path).processor(QUESTIONS)


def tokenizer(prompt=(), kind="ffn", llm_max=200, encoder_max=64, **changes) -> SampleTokenizer:
    layout = prompt_layout(AlignmentConfig(kind=kind, latents=5)) if kind else None
    encoder = tiny.encoder_tokenizer("mt5") if kind else None
    return SampleTokenizer(tiny.llm_tokenizer(), llm_max, encoder, encoder_max, layout, prompt=prompt, **changes)


LONG = "apples and manzanas " * 40


@pytest.mark.parametrize("prompt", [(TEXT, SOFT, TOLD), (TOLD, SOFT, TEXT), (SOFT, TEXT)])
@pytest.mark.parametrize("kind", ["ffn", "latent"])
def test_a_text_that_both_read_is_shortened_for_both_and_nothing_else_is(prompt, kind):
    tok, counts = tokenizer(prompt, kind, llm_max=90, encoder_max=1000), Counter()
    (sample,) = tok.samples([Record("a", LONG, "Solve:", "The answer is 7", "en")], counts)
    read, told = tok.encoder.decode(sample.encoder_ids[:-1]), tok.llm.decode(sample.prompt_ids[1:])
    said = told.replace("Solve:", "")
    assert sample.llm_length == 90 and (TOLD in prompt) == ("Solve:" in told)
    assert LONG.startswith(said) and sample.encoder_ids[-1] == tok.encoder.eos_token_id
    assert tok.llm.decode(sample.target_ids) == "The answer is 7</s>"
    assert sum(counts.values()) == 1
    if kind == "ffn":  # both end at about the same word
        assert LONG.startswith(read) and 0.7 < len(read) / len(said) < 1.4
    else:
        assert len(read) > 0.95 * len(LONG)


def test_an_instruction_behind_the_text_is_never_cut_and_a_text_without_room_is_dropped():
    tok, counts = tokenizer(encoder_max=40, encoder_input="{text} Translate: {instruction}"), Counter()
    record = Record("a", LONG, "Solve the problem", "7", "en")
    (sample,) = tok.samples([record], counts)
    read = tok.encoder.decode(sample.encoder_ids[:-1])
    behind = " Translate: Solve the problem"
    assert read.endswith(behind) and LONG.startswith(read.removesuffix(behind))
    assert 30 < len(sample.encoder_ids) <= 40 and "shortened" in next(iter(counts))
    counts = Counter()
    assert not list(replace(tok, encoder_max_tokens=20).samples([record], counts))
    assert counts == {"dropped, no room for the text beside instruction and target": 1}


@pytest.mark.parametrize("encoder", ["ffn", "latent", None])
def test_of_a_template_around_a_long_text_the_text_alone_is_cut(encoder):
    order = (SOFT, TEXT) if encoder else (TEXT,)
    tok = tokenizer(order, encoder, llm_max=90, encoder_max=1000, llm_input="Question: {text} Answer:")
    for text in (LONG, LONG[:40]):
        counts = Counter()
        (sample,) = tok.samples([Record("a", text, "", "7", "en")], counts)
        told = tok.llm.decode(sample.prompt_ids[1:])
        assert told.startswith("Question: apples and") and told.endswith(" Answer:")
        assert text.startswith(told.removeprefix("Question: ").removesuffix(" Answer:"))
        assert sum(counts.values()) == (text == LONG) and 80 * (text == LONG) < sample.llm_length <= 90
    around = len(tok.llm("Question:  Answer:", add_special_tokens=False)["input_ids"])
    # BOS, what the LLM reads of the text, target with EOS; the soft prompt of eight tokens or five latents.
    least = 1 + around + 8 + 2 + {"ffn": 2 + 8, "latent": 5 + 1, None: 0}[encoder]
    for most, kept in ((least - 1, 0), (least, 1)):
        counts = Counter()
        found = list(replace(tok, llm_max_tokens=most).samples([Record("a", LONG, "", "7", "en")], counts))
        assert len(found) == kept
        assert counts["dropped, no room for the text beside instruction and target"] == 1 - kept


def test_where_the_soft_prompt_lies_is_stored_and_tells_sets_apart(tmp_path):
    path, seen = str(tiny.write_rows(tmp_path / "rows.jsonl", 12)), set()
    rows = Rows((path,), "auto", "Solve:")
    # One tokenizer for all: trained anew it would be another.
    base = tokenizer()
    for changes in (
        {},
        {"prompt": (SOFT, TEXT)},
        {"prompt": (TEXT, SOFT)},
        {"prompt": (TEXT, SOFT), "encoder_input": "{text} {instruction}"},
        {"prompt": (TEXT, SOFT), "llm_input": "Question: {text}"},
    ):
        tok = replace(base, **changes)
        expected = list(tok.samples(read_records(path, "auto", "Solve:"), Counter()))
        found = prepared_samples(rows, tok, tmp_path / "cache")
        assert found.built and [s.soft_at for s in found] == [s.soft_at for s in expected]
        assert found.digest == SampleList(expected).digest
        seen.add(found.digest)
    assert len(seen) == 5
    assert not prepared_samples(rows, replace(base, prompt=(SOFT, TOLD)), tmp_path / "cache").built, "the usual one"
    probe = Probe(expected[:2], BatchLayout(0, True))
    (tmp_path / "probe.json").write_bytes(probe.to_bytes())
    again = probe.read(tmp_path).samples
    assert [s.soft_at for s in again] == [s.soft_at for s in expected[:2]] and again[0].soft_at > 1


@pytest.mark.parametrize(("number", "encoder"), [(1, True), (2, True), (2, False)])
def test_what_a_stage_states_is_what_its_artefact_reads(tmp_path, number, encoder):
    path = tiny.write_recipe(tmp_path / "tiny", **({} if encoder else {"encoder": None}))
    prompt, template = ("[text, soft_prompt]", "{instruction} {text}") if encoder else ("[instruction, text]", "{text}")
    stated = [f"stage{number}.prompt={prompt}", f'stage{number}.encoder_input="{template}"']
    stated.append(f'stage{number}.llm_input="Q: {{text}} A:"')
    config = load_config(path, stated)
    stage, sources = stage_of(config, number), build.read_sources(config.model)
    told = described(config, stage, sources, None)
    order = prompt.strip("[]").split(", ")
    assert told["prompt"] == order and told["encoder_input"] == template
    assert told["prompt_template"] == "{bos}" + {
        "[text, soft_prompt]": "Q: {text} A:{soft_prompt}",
        "[instruction, text]": "{instruction}Q: {text} A:",
    }[prompt]
    trained, _ = build.read_samples(config, stage, sources)
    loaded = hub.LinguaLiftConfig(**{**told, "llm": sources.llm_config, "encoder": sources.encoder_config})
    processor = hub.LinguaLiftProcessor(sources.llm_tokenizer, sources.encoder_tokenizer, loaded)
    rows = [json.loads(line) for line in Path(config.stage(number).data.train[0]).read_text().splitlines()]
    instruction = stage.instruction.replace("{language}", "Swahili" if number == 1 else "English")
    again = processor.samples([r["text"] for r in rows], instruction, [r["target"] for r in rows])
    for one, other in zip(trained, again, strict=True):
        assert (one.soft_rows, one.soft_at) == (other.soft_rows, other.soft_at)
        for name in ("encoder_ids", "prompt_ids", "target_ids"):
            assert np.array_equal(getattr(one, name), getattr(other, name)), name
