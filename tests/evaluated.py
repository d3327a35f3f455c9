"""Tiny whole models in folders, and requests to them: what tests of the evaluation start from."""

import json
from pathlib import Path

import tiny
import torch
from lm_eval.api.instance import Instance
from transformers import AutoConfig, AutoTokenizer

from lingualift_ds.hub import LinguaLiftConfig, LinguaLiftForCausalLM, LinguaLiftProcessor

INSTRUCTION = "Solve the following math problem:"


def save_bridged(folder: Path, encoder: str | None = "mt5", llm: str = "llama", bos: bool = True) -> Path:
    """A random bridged model as `hub.load_model` reads it; of text alone where `encoder` is None."""
    parts = folder.with_name(folder.name + "-parts")
    tiny.save_llm(parts / "llm", llm, bos=bos)
    tokenizers = {"llm": AutoTokenizer.from_pretrained(parts / "llm"), "encoder": None}
    if encoder:
        tiny.save_encoder(parts / "encoder", encoder)
        tokenizers["encoder"] = AutoTokenizer.from_pretrained(parts / "encoder")
    config = LinguaLiftConfig(
        llm=AutoConfig.from_pretrained(parts / "llm"),
        encoder=AutoConfig.from_pretrained(parts / "encoder") if encoder else None,
        alignment={"kind": "ffn", "latents": 4},
        instruction=INSTRUCTION,
        llm_max_tokens=120,
        encoder_max_tokens=60,
        **{f"{name}_token_id": getattr(tokenizers["llm"], f"{name}_token_id") for name in ("bos", "eos", "pad")},
    )
    torch.manual_seed(1)
    model = LinguaLiftForCausalLM(config)
    with torch.no_grad():
        for parameter in model.parameters():  # away from what initialises them: else all next tokens are near equal
            parameter.add_(torch.randn_like(parameter) * 0.1)
    model.processor = LinguaLiftProcessor(tokenizers["llm"], tokenizers["encoder"], config)
    model.save_pretrained(folder)
    return folder


def requests(kind: str, *arguments: tuple) -> list[Instance]:
    """lm-eval's instances of one task, a document each."""
    return [Instance(kind, {}, argument, 0, ("some_task", n, 1)) for n, argument in enumerate(arguments)]


def write_questions(folder: Path, **counts: int) -> Path:
    """`counts` math problems a language, of differing lengths, and as many sentence pairs, in a folder a task."""
    for code, count in counts.items():
        problems = [
            {"id": f"q{n}", "text": f"{code}: Ann has {n} apples" + ", and more" * (n * 7 % 5), "answer": 7}
            | {"object": "apples"}
            for n in range(count)
        ]
        pairs = [
            {"premise": f"Ann has {n} apples.", "hypothesis": f"{code} {n * 5}", "label": n % 3} for n in range(count)
        ]
        for task, rows in (("jsonl", problems), ("xnli", pairs)):
            (folder / task).mkdir(parents=True, exist_ok=True)
            text = "".join(json.dumps(row) + "\n" for row in rows)
            (folder / task / f"{code}.jsonl").write_text(text, encoding="utf-8")
    return folder


def results_of(folder: Path) -> dict[str, bytes]:
    """The bytes of every TASK/CODE.jsonl, and what results.json says of the tasks."""
    found = {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.glob("*/*.jsonl"))}
    tasks = json.loads((folder / "results.json").read_text(encoding="utf-8"))["tasks"]
    kept = {name: data for name, data in found.items() if not name.startswith("answered")}
    return kept | {"tasks": json.dumps(tasks).encode()}
