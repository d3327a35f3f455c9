"""The stand-ins for mT5 and Llama: two tiny models, trained from nothing in about two minutes each.

The encoder is trained as mT5 is, by denoising alone: texts of all languages, drawn independently of each
other, never a pair. (Trained on translation it would be language-neutral already, and Stage I would have
nothing left to do.) The LLM knows English and arithmetic, and follows instructions to write a text again or
to say what it asks for; of other languages it sees a few byte strings, as Llama does.

Run:  python -m lingualift_ds.miniature.standins encoder|llm --output DIR --seed N
"""

import argparse
import json
import math
import random
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import torch
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    MT5Config,
    MT5ForConditionalGeneration,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from lingualift_ds.data.codeswitch import STAGE1_INSTRUCTION
from lingualift_ds.data.records import MATH_INSTRUCTION
from lingualift_ds.log import Progress, get_logger
from lingualift_ds.miniature.problems import (
    render,
    scenario,
    stage2_records,
    texts,
)
from lingualift_ds.miniature.tokenizers import (
    MASK,
    language_token,
    train_encoder_tokenizer,
    train_llm_tokenizer,
)
from lingualift_ds.miniature.world import LANGUAGES, plural

IGNORED = -100
ENCODER_STEPS, LLM_STEPS = 1400, 1700
_BATCH, _LEARNING_RATE = 32, 2e-3
_MASKED_WORDS = 0.25
_FOREIGN = tuple(code for code in LANGUAGES if code != "en")
_COPY_INSTRUCTIONS = (
    "Write the following text again:",
    "Write the following words as an English sentence:",
    "Put the following words in order:",
    "Repeat the following English text:",
)
_READING_INSTRUCTION = "Which things and which numbers does the question ask about?"

Row = tuple[list[int], list[int]]  # two sequences of token ids; what they mean is the collator's matter


def pretrain_encoder(output: Path, seed: int, steps: int = ENCODER_STEPS) -> dict[str, float]:
    """Train the multilingual encoder's stand-in by denoising; model and tokenizer go into `output`.

    Returns the loss at the start and at the end (nats a token, means of 20 steps); with 0 steps the model is
    saved as initialised, and nothing is returned.
    """
    torch.manual_seed(seed)
    streams = {code: texts(code, seed, "encoder", single=0.6) for code in LANGUAGES}
    corpus = [text for code in LANGUAGES for text in islice(texts(code, seed, "encoder tokenizer", 0.5), 1500)]
    tokenizer = train_encoder_tokenizer(corpus, output)
    model = MT5ForConditionalGeneration(
        MT5Config(
            vocab_size=len(tokenizer),
            d_model=128,
            d_kv=32,
            d_ff=256,
            num_layers=2,
            num_decoder_layers=1,
            num_heads=4,
            dropout_rate=0.0,
            tie_word_embeddings=True,
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id,
            decoder_start_token_id=tokenizer.pad_token_id,
        )
    )
    with torch.no_grad():  # T5's initial embedding has variance 1: tied, it would start at a loss above 20
        model.get_input_embeddings().weight.mul_(0.15)
    rows = _denoising_rows(tokenizer, streams, steps * _BATCH, random.Random(f"masks {seed}"))
    batches = _batches(rows, random.Random(f"encoder order {seed}"))
    losses = _train("encoder", model, (_denoising_batch(batch, tokenizer) for batch in batches), steps)
    model.save_pretrained(output)
    return losses


def pretrain_llm(output: Path, seed: int, steps: int = LLM_STEPS) -> dict[str, float]:
    """Train the English LLM's stand-in; model and tokenizer go into `output`.

    Returns the loss at the start and at the end (nats a token, means of 20 steps); with 0 steps the model is
    saved as initialised, and nothing is returned.
    """
    torch.manual_seed(seed)
    tokenizer = train_llm_tokenizer(_llm_corpus(seed), output)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=128,
            intermediate_size=256,
            num_hidden_layers=3,
            num_attention_heads=4,
            num_key_value_heads=4,
            max_position_embeddings=1024,
            initializer_range=0.05,
            tie_word_embeddings=True,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    rows = _llm_rows(tokenizer, seed, steps * _BATCH)
    batches = _batches(rows, random.Random(f"llm order {seed}"))
    losses = _train("llm", model, (_llm_batch(batch, tokenizer) for batch in batches), steps)
    model.save_pretrained(output)
    return losses


def _denoising_rows(
    tokenizer: PreTrainedTokenizerFast, streams: dict[str, Iterator[str]], count: int, rng: random.Random
) -> list[Row]:
    """Rows of (noisy text </s>, <lang> text </s>).

    One row in three joins two unrelated texts of two languages, as pages of the web do.
    """
    noisy, clean = [], []
    for _ in range(count):
        languages = rng.sample(tuple(streams), 2 if rng.random() < 1 / 3 else 1)
        parts = [(code, next(streams[code])) for code in languages]
        noisy.append(" ".join(_noise(text, rng) for _, text in parts))
        clean.append(" ".join(language_token(code) + text for code, text in parts))
    return list(zip(_ids(tokenizer, noisy), _ids(tokenizer, clean), strict=True))


def _noise(text: str, rng: random.Random) -> str:
    """A quarter of the words masked; in every second text the words also stray up to three places."""
    words = [MASK if rng.random() < _MASKED_WORDS else word for word in text.split(" ")]
    if rng.random() < 0.5:
        places = [place + rng.uniform(0, 3) for place in range(len(words))]
        words = [words[place] for place in sorted(range(len(words)), key=places.__getitem__)]
    return " ".join(words)


def _ids(tokenizer: PreTrainedTokenizerFast, batch: list[str], **options: bool) -> list[list[int]]:
    return tokenizer(batch, **options).input_ids if batch else []  # of no texts transformers 5 makes an error


def _denoising_batch(rows: list[Row], tokenizer: PreTrainedTokenizerFast) -> dict[str, torch.Tensor]:
    source = _padded([noisy for noisy, _ in rows], tokenizer.pad_token_id)
    return {
        "input_ids": source,
        "attention_mask": (source != tokenizer.pad_token_id).long(),
        "decoder_input_ids": _padded([clean[:-1] for _, clean in rows], tokenizer.pad_token_id),
        "labels": _padded([clean[1:] for _, clean in rows], IGNORED),
    }


def _llm_corpus(seed: int) -> list[str]:
    """English for the tokenizer: texts, solutions and the wording of the instructions."""
    solutions = [record["target"] for record in stage2_records(1000, seed)]
    wording = [*_COPY_INSTRUCTIONS, _READING_INSTRUCTION, MATH_INSTRUCTION]
    wording += [STAGE1_INSTRUCTION.format(language=LANGUAGES[code].name) for code in _FOREIGN]
    return [*islice(texts("en", seed, "llm tokenizer", 0.5), 3000), *solutions, *wording * 50]


def _llm_rows(tokenizer: PreTrainedTokenizerFast, seed: int, count: int) -> list[Row]:
    """Rows of (prompt, completion): the loss is on the completion, </s> included.

    20 % arithmetic, 5 % plain English, 3 % foreign bytes, 25 % reading comprehension, the rest "text,
    instruction -> text".
    """
    rng = random.Random(f"llm rows {seed}")
    english = texts("en", seed, "llm", single=0.5)
    foreign = {code: texts(code, seed, "llm bytes", single=1.0) for code in _FOREIGN}
    prompts, instructions, completions = [], [], []
    for _ in range(count):
        kind, prompt, instruction = rng.random(), "", ""
        if kind < 0.20:
            completion = " ".join(_fact(rng) for _ in range(6))
        elif kind < 0.25:
            completion = next(english)
        elif kind < 0.28:
            completion = next(foreign[rng.choice(_FOREIGN)])
        elif kind < 0.53:
            prompt, completion = _reading(rng)
            instruction = _READING_INSTRUCTION
        else:
            completion = prompt = next(english)
            if rng.random() < 0.5:
                prompt = _scrambled(prompt, rng)
            instruction = _copy_instruction(rng)
        prompts.append(prompt)
        instructions.append(instruction)
        completions.append(completion)
    parts = [_ids(tokenizer, part, add_special_tokens=False) for part in (prompts, instructions, completions)]
    bos, eos = tokenizer.bos_token_id, tokenizer.eos_token_id
    # Foreign text is cut: a few bytes are enough to have seen some, and they would swamp the loss.
    return [([bos, *p, *i], [*c[:96], eos]) for p, i, c in zip(*parts, strict=True)]


def _reading(rng: random.Random) -> tuple[str, str]:
    """A problem, half of the time scrambled, and what it asks for, unsolved: `apples, 11 + 5`.

    So the LLM understands such texts before Stage II, as a pretrained one does; Stage II teaches it to
    solve them. If that had to teach the reading too, it would overwrite what Stage I aligned itself to.
    """
    drawn = scenario(rng, held_out=False)
    text = render(drawn, "en", rng)
    if rng.random() < 0.5:
        text = _scrambled(text, rng)
    return text, f"{plural(drawn.noun)}, {drawn.left} {drawn.sign} {drawn.right}"


def _fact(rng: random.Random) -> str:
    """A sum, difference or product of the range that the problems use."""
    sign = rng.choice("+-x")
    if sign == "+":
        left, right = rng.randint(2, 15), rng.randint(2, 15)
        return f"{left} + {right} = {left + right}."
    if sign == "-":
        left = rng.randint(5, 24)
        right = rng.randint(2, min(left - 2, 15))
        return f"{left} - {right} = {left - right}."
    left, right = rng.randint(2, 9), rng.randint(2, 9)
    return f"{left} x {right} = {left * right}."


def _copy_instruction(rng: random.Random) -> str:
    if rng.random() < 0.6:
        return STAGE1_INSTRUCTION.format(language=LANGUAGES[rng.choice(_FOREIGN)].name)
    return rng.choice(_COPY_INSTRUCTIONS)


def _scrambled(text: str, rng: random.Random) -> str:
    """The text with the phrases of each sentence in random order; a number stays with its noun, on either side."""
    sentences = []
    for sentence in text.replace("? ", "?\n").replace(". ", ".\n").split("\n"):
        phrases: list[list[str]] = []
        joined = False  # whether the next word belongs to the number before it
        for word in sentence[:-1].split(" "):
            if joined:
                phrases[-1].insert(rng.randrange(2), word)
            else:
                phrases.append([word])
            joined = word.isdigit()
        rng.shuffle(phrases)
        sentences.append(" ".join(word for phrase in phrases for word in phrase) + sentence[-1])
    return " ".join(sentences)


def _llm_batch(rows: list[Row], tokenizer: PreTrainedTokenizerFast) -> dict[str, torch.Tensor]:
    tokens = _padded([prompt + completion for prompt, completion in rows], tokenizer.pad_token_id)
    # Right-padded under a causal mask: no attention mask is needed.
    labels = _padded([[IGNORED] * len(prompt) + completion for prompt, completion in rows], IGNORED)
    return {"input_ids": tokens, "labels": labels}


def _padded(sequences: list[list[int]], filler: int) -> torch.Tensor:
    longest = max(map(len, sequences))
    return torch.tensor([sequence + [filler] * (longest - len(sequence)) for sequence in sequences])


def _batches(rows: list[Row], rng: random.Random) -> list[list[Row]]:
    """Batches of rows of like length, in random order: a pool of 16 batches is sorted at a time."""
    rng.shuffle(rows)
    batches = []
    for start in range(0, len(rows), 16 * _BATCH):
        pool = sorted(rows[start : start + 16 * _BATCH], key=lambda row: len(row[0]) + len(row[1]))
        cut = [pool[i : i + _BATCH] for i in range(0, len(pool), _BATCH)]
        rng.shuffle(cut)
        batches += cut
    return batches


def _train(
    label: str, model: PreTrainedModel, batches: Iterator[dict[str, torch.Tensor]], steps: int
) -> dict[str, float]:
    """AdamW, warm-up over 5 % of the steps, cosine to 5 % of the peak, clipping at 1."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=_LEARNING_RATE, betas=(0.9, 0.98), weight_decay=0.01)
    warmup = max(1, steps // 20)

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        return 0.05 + 0.475 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    losses = []
    model.train()
    with Progress(f"pretrain {label}", total=steps) as progress:
        for batch in batches:
            loss = model(**batch, use_cache=False).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            losses.append(loss.item())
            progress.advance(note=f"loss {losses[-1]:.3f}")
    model.eval()
    if not losses:
        return {}
    ends = losses[:20], losses[-20:]
    return {"first_loss": sum(ends[0]) / len(ends[0]), "last_loss": sum(ends[1]) / len(ends[1])}


def main(arguments: list[str] | None = None) -> None:
    """Train one stand-in on one thread, so that both fit side by side on two cores."""
    parser = argparse.ArgumentParser(prog="python -m lingualift_ds.miniature.standins", description=__doc__)
    parser.add_argument("which", choices=("encoder", "llm"))
    parser.add_argument("--output", type=Path, required=True, help="folder for the model and its tokenizer")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, help="optimizer steps (default: about two minutes; 0: no training)")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    pretrain = pretrain_encoder if options.which == "encoder" else pretrain_llm
    losses = pretrain(options.output, options.seed, **({} if options.steps is None else {"steps": options.steps}))
    get_logger().info("pretrained %s: %s", options.which, json.dumps(losses))


if __name__ == "__main__":
    main()
