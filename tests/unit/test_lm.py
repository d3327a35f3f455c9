"""The model as lm-eval sees it: what it is given equals what plain computations give, whatever shares a batch."""

import logging
from collections import Counter
from pathlib import Path

import pytest
import tiny
import torch
from evaluated import INSTRUCTION, requests, save_bridged
from lm_eval.models.huggingface import HFLM
from transformers import AutoModelForCausalLM

from lingualift_ds.errors import ConfigError, DataError, ModelError
from lingualift_ds.evaluate.harness.lm import LinguaLiftLM
from lingualift_ds.evaluate.harness.requests import Request, marked

QUESTIONS = [*tiny.TEXTS, "apples", "3 + 4 = 7"]
PAIRS = [(text, f" {answer}") for text in QUESTIONS for answer in ("7", "The answer is 12", "a")]


@pytest.fixture(scope="module")
def bridged(tmp_path_factory) -> Path:
    return save_bridged(tmp_path_factory.mktemp("lm") / "bridged")


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    """An LLM by itself, whose tokens are not all equally likely."""
    folder = tmp_path_factory.mktemp("lm") / "llm"
    tiny.save_llm(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    torch.manual_seed(2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    model.save_pretrained(folder)
    return folder


@torch.no_grad()
def direct(lm: LinguaLiftLM, text: str, instruction: str, continuation: str) -> tuple[float, bool]:
    """One unbatched forward pass in float64, summed at the continuation's tokens."""
    model = lm.way.model.double()
    inputs = model.processor([text], instruction, [continuation])
    labels, logits = inputs.pop("labels")[0], model(**inputs).logits[0]
    at = [place for place in range(len(labels)) if labels[place] >= 0][:-1]  # the last is EOS
    scores = torch.log_softmax(logits, -1)
    total = sum(float(scores[place - 1, labels[place]]) for place in at)
    return total, all(int(scores[place - 1].argmax()) == int(labels[place]) for place in at)


@pytest.mark.parametrize(
    ("encoder", "llm", "bos"), [("mt5", "llama", True), ("nllb", "gpt2", False), (None, "llama", True)]
)
def test_loglikelihoods_are_those_of_one_plain_forward_pass(tmp_path, encoder, llm, bos):
    lm = LinguaLiftLM(save_bridged(tmp_path / "model", encoder, llm, bos), batch_size=5)
    pairs = PAIRS + [(marked(text, "Say:"), continuation) for text, continuation in PAIRS[:4]]
    found = lm.loglikelihood(requests("loglikelihood", *pairs))
    for (context, continuation), (score, greedy) in zip(pairs, found):
        text, mark, instruction = context.partition("\x1e")
        wanted, likeliest = direct(lm, text, instruction if mark else INSTRUCTION, continuation)
        assert score == pytest.approx(wanted, abs=1e-4)  # fp32 against fp64, a dozen tokens
        assert greedy == likeliest


def test_greedy_is_said_of_what_the_model_would_write_and_of_nothing_else(bridged):
    lm = LinguaLiftLM(bridged)
    asked = [Request("t", n, 0, text, None) for n, text in enumerate(QUESTIONS)]
    samples, llm = lm.way.samples(asked, Counter()), lm.plain.tokenizer
    seen = 0
    for count in (1, 2, 3):
        for text, ids in zip(QUESTIONS, lm.way.generate(samples, (), max_new_tokens=count).tolist()):
            written = llm.decode(ids)
            if llm(written, add_special_tokens=False)["input_ids"] != ids or llm.eos_token_id in ids:
                continue  # such tokens are not what their text is made of
            seen += 1
            found = lm.loglikelihood(requests("loglikelihood", (text, written), (text, written + " 7?"), (text, "")))
            assert [greedy for _, greedy in found] == [True, False, True]
            assert found[1][0] < found[0][0] < found[2][0] == 0.0
    assert seen


def test_plain_prompts_score_and_write_as_lm_evals_own_class_does(base):
    # lm-eval 0.4.13 gives a rolling log-likelihood that depends on the batch size where windows differ in length.
    ours, theirs = LinguaLiftLM(base, batch_size=3), HFLM(str(base), device="cpu", batch_size=1)
    pairs = [*PAIRS, ("", "7 apples"), ("apples ", "and"), ("Q: 3\nA:", " 4\n")]
    for mine, other in zip(
        ours.loglikelihood(requests("loglikelihood", *pairs)), theirs.loglikelihood(requests("loglikelihood", *pairs))
    ):
        assert mine[0] == pytest.approx(other[0], abs=1e-4) and mine[1] == other[1]
    texts = [(text,) for text in (*QUESTIONS, "many apples " * 200)]  # the last needs several windows
    rolling = ours.loglikelihood_rolling(requests("loglikelihood_rolling", *texts))
    assert rolling == pytest.approx(theirs.loglikelihood_rolling(requests("loglikelihood_rolling", *texts)), rel=1e-5)
    asked = [(text, {"until": ["a", "\n"], "max_gen_toks": 12}) for text in QUESTIONS]
    written = ours.generate_until(requests("generate_until", *asked))
    assert written == theirs.generate_until(requests("generate_until", *asked))
    assert len(set(written)) > 2


def test_answers_are_the_models_own_whatever_shares_their_batch(bridged):
    asked = [(text, {"until": [], "max_gen_toks": 9}) for text in QUESTIONS]
    one, many = LinguaLiftLM(bridged, batch_size=1), LinguaLiftLM(bridged, batch_size=4)
    alone = one.generate_until(requests("generate_until", *asked))
    assert alone == many.generate_until(requests("generate_until", *asked))
    answers = one.way.model.answer(QUESTIONS, max_new_tokens=9, batch_size=1)
    assert [text.strip() for text in alone] == [answer.text for answer in answers]
    kept = [many.answers["some_task", n, 0] for n in range(len(asked))]
    assert [(k["finished"], k["tokens"]) for k in kept] == [(a.finished, a.tokens) for a in answers]
    assert all(k["encoder_tokens"] > 1 for k in kept)


def test_a_stop_string_ends_the_text_and_the_instruction_can_be_told(bridged):
    lm = LinguaLiftLM(bridged, batch_size=4)
    options = {"until": [], "max_gen_toks": 12}
    whole = lm.generate_until(requests("generate_until", *[(text, options) for text in QUESTIONS]))
    stop = whole[0][len(whole[0]) // 2 :][:1]
    cut = lm.generate_until(requests("generate_until", *[(text, options | {"until": [stop]}) for text in QUESTIONS]))
    assert cut == [text.split(stop)[0] for text in whole]
    assert lm.answers["some_task", 0, 0]["finished"]
    told = LinguaLiftLM(bridged, instruction="Translate:")
    marks = [(marked(text, "Translate:"), options) for text in QUESTIONS]
    plain = [(text, options) for text in QUESTIONS]
    assert told.generate_until(requests("generate_until", *plain)) == lm.generate_until(
        requests("generate_until", *marks)
    )
    assert told.generate_until(requests("generate_until", *plain)) != whole


def test_what_has_no_text_is_the_llms_alone(bridged):
    lm, plain = LinguaLiftLM(bridged), LinguaLiftLM(bridged, prompt="plain")
    asked = requests("loglikelihood", ("", " 7"), (QUESTIONS[0], " 7"))
    mine, other = lm.loglikelihood(asked), plain.loglikelihood(asked)
    assert mine[0][0] == pytest.approx(other[0][0], abs=1e-5)  # fp32, and another batch
    assert abs(mine[1][0] - other[1][0]) > 1e-2


def test_what_cannot_be_asked_is_said(bridged, base):
    lm = LinguaLiftLM(bridged)
    with pytest.raises(DataError, match="some_task, document 1: instruction and continuation leave no room"):
        lm.loglikelihood(requests("loglikelihood", ("Ann", "7"), ("Ann", "7 " * 200)))
    with pytest.raises(ConfigError, match="few-shot examples have no place"):
        lm.loglikelihood(requests("loglikelihood", (marked("a", "b") + marked("c", "d"), "7")))
    with pytest.raises(DataError, match="U\\+001E"):
        marked("a\x1eb", "c")
    with pytest.raises(ModelError, match="prompt=plain only"):
        LinguaLiftLM(base, prompt="lingualift")
    with pytest.raises(ConfigError, match="batch_size '0'"):
        LinguaLiftLM(base, batch_size="0")
    alone = LinguaLiftLM(base)
    with pytest.raises(DataError, match="leaves no room for the text in 256 tokens"):
        alone.generate_until(requests("generate_until", ("a", {"until": [], "max_gen_toks": 256})))


def test_long_texts_are_shortened_and_that_is_said(bridged, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("lingualift_ds"), "propagate", True)
    lm = LinguaLiftLM(bridged)
    lm.generate_until(requests("generate_until", ("apples " * 300, {"max_gen_toks": 2}), ("Ann", {"max_gen_toks": 2})))
    assert "some_task: shortened, text longer than encoder_max_tokens" in caplog.text
