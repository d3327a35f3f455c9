"""Builds the miniature: data, stand-ins in Hugging Face format, and the recipe that trains both stages on them.

DIR/lexicons/en-XX.txt            word lists
DIR/data/stage1.jsonl             code-switched sentences; stage1_heldout.jsonl beside it
DIR/data/stage2.jsonl             English problems; stage2_heldout.jsonl in all languages
DIR/data/english.jsonl            the sentences of stage1.jsonl before switching; english_heldout.jsonl
DIR/data/bitext.jsonl             sentences and problems in the other languages, and in English; bitext_heldout.jsonl
DIR/data/multilingual.jsonl       the problems of stage2.jsonl, each in one of all languages
DIR/questions/XX.jsonl            held-out problems to evaluate on, the same in every language; languages.json: levels
DIR/models/encoder, DIR/models/llm
DIR/recipe.yaml                   written last: where it is, the miniature is whole
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import yaml

from lingualift_ds.checkpoint.manifest import write_json
from lingualift_ds.config.schema import CodeSwitchConfig
from lingualift_ds.data.codeswitch import English, Stage1Maker
from lingualift_ds.data.jsonl import write_jsonl
from lingualift_ds.dist import unlaunched
from lingualift_ds.errors import DataError, LaunchError
from lingualift_ds.log import get_logger
from lingualift_ds.miniature.problems import (
    bitext_records,
    held_out_records,
    multilingual_records,
    stage1_sentences,
    stage2_records,
)
from lingualift_ds.miniature.world import LANGUAGES

logger = get_logger(__name__)

DEFAULT = Path("runs/miniature")
SENTENCES = 28_160
"""Stage I sentences: one epoch."""
PROBLEMS = 12_800
"""Stage II problems: one epoch."""
_VERSION = 3
"""Of what a miniature holds; an older one is refused. 2: english, bitext and multilingual data; 3: the same
questions of every seed."""
_LONGEST_BUILD_SECONDS = 3600
QUESTIONS = 200
"""Held-out problems a language."""


def ensure_miniature(builds: bool) -> Path:
    """The recipe of the default miniature. Among the ranks of a launch one builds it, the others wait."""
    recipe = DEFAULT / "recipe.yaml"
    if builds and not recipe.is_file():
        logger.info("no --config: building the embedded miniature in %s first (about 3 minutes)", DEFAULT)
        build_miniature(DEFAULT, seed=0)
    waited = time.monotonic()
    while not recipe.is_file():
        if time.monotonic() - waited > _LONGEST_BUILD_SECONDS:
            raise LaunchError(f"{recipe}: rank 0 did not build the miniature within {_LONGEST_BUILD_SECONDS} s")
        time.sleep(0.5)
    return recipe


def build_miniature(output: Path, seed: int, pretrain: bool = True) -> Path:
    """Build everything in `output`, or leave a whole miniature of the same seed as it is; returns the recipe.

    Raises DataError: another miniature there, one of an earlier version too, or a folder that cannot be written.
    """
    recipe = output / "recipe.yaml"
    about = {"seed": seed, "pretrained": pretrain, "version": _VERSION}
    if recipe.is_file():
        found = output / "about.json"
        known = json.loads(found.read_text(encoding="utf-8")) if found.is_file() else {}
        if known != about:
            why = "is not of this miniature (seed, kind); choose another --output"
            if {**known, "version": _VERSION} == about:
                why = "is of an earlier version of the miniature; remove the folder, or choose another --output"
            raise DataError(f"{output}: holds a recipe that {why}")
        logger.info("miniature found in %s", output)
        return recipe
    try:
        (output / "lexicons").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{output}: cannot be written: {error.strerror}") from None
    processes = _start_pretraining(output, seed, steps=None if pretrain else 0)
    try:
        write_data(output, seed)
        _wait(processes)
    finally:
        for process in processes.values():
            process.kill()
    aside = recipe.with_suffix(".tmp")
    aside.write_text(yaml.safe_dump(make_recipe(output, seed), sort_keys=False), encoding="utf-8")
    (output / "about.json").write_text(json.dumps(about), encoding="utf-8")
    os.replace(aside, recipe)
    return recipe


def write_data(output: Path, seed: int, sentences: int = SENTENCES, problems: int = PROBLEMS) -> None:
    """Lexicons, training data of both stages and of other methods, held-out data and questions."""
    for resource in files("lingualift_ds.miniature").joinpath("lexicons").iterdir():
        if resource.name.endswith(".txt"):
            (output / "lexicons" / resource.name).write_text(resource.read_text(encoding="utf-8"), encoding="utf-8")
    english, pairs = (make(sentences + 240, seed) for make in (stage1_sentences, bitext_records))
    for half, part in (("", slice(sentences)), ("_heldout", slice(sentences, None))):
        write_jsonl(output / f"data/stage1{half}.jsonl", _switched(english[part], output, seed))
        write_jsonl(output / f"data/english{half}.jsonl", english[part])
        write_jsonl(output / f"data/bitext{half}.jsonl", pairs[part])
    write_jsonl(output / "data/stage2.jsonl", stage2_records(problems, seed))
    write_jsonl(output / "data/multilingual.jsonl", multilingual_records(problems, seed))
    for language in LANGUAGES:
        # The id without the language: the same problem in every file has the same.
        rows = held_out_records(language, QUESTIONS, 0)  # of every seed the same: they are compared one by one
        shared = [row | {"id": row["id"].removeprefix(f"{language}-")} for row in rows]
        write_jsonl(output / f"questions/{language}.jsonl", shared)
    levels = {code: {"level": language.level, "name": language.name} for code, language in LANGUAGES.items()}
    write_json(output / "questions/languages.json", levels)
    # Other held-out problems than the questions, so that nobody picks a checkpoint by what it is judged on.
    heldout = [r for language in LANGUAGES for r in held_out_records(language, 32, seed + 1_000_000)]
    write_jsonl(output / "data/stage2_heldout.jsonl", heldout)


def make_recipe(output: Path, seed: int) -> dict:
    """The recipe, as any user would write one. Settings were chosen on seed 1; docs/miniature.md shows others."""

    def stage(number: int, lr: float, weight_decay: float) -> dict:
        return {
            "data": {
                "train": [str(output / f"data/stage{number}.jsonl")],
                "heldout": [str(output / f"data/stage{number}_heldout.jsonl")],
            },
            "batch": {"samples": 64},
            "epochs": 1,
            "optimizer": {
                "lr": lr,
                "weight_decay": weight_decay,
                "betas": [0.9, 0.98],
                "schedule": "cosine",
                "warmup_ratio": 0.05,
            },
            "deepspeed": f"ds_configs/stage{number}_zero3.json",
            "checkpoint": {"every": 100, "keep_last": 1},
            "heldout_every": 50,
        }

    return {
        "run": {"output": str(output / "run"), "seed": seed},
        "model": {
            "encoder": str(output / "models/encoder"),
            "llm": str(output / "models/llm"),
            "encoder_max_tokens": 128,
            "llm_max_tokens": 256,
            "precision": "fp32",
            "whitespace_tokens": False,  # its texts have none to lose
        },
        "stage1": stage(1, lr=6e-3, weight_decay=0.0),
        "stage2": stage(2, lr=1e-3, weight_decay=0.01),
    }


def _switched(rows: list[dict], output: Path, seed: int) -> Iterator[dict]:
    codes = tuple(code for code in LANGUAGES if code != "en")
    maker = Stage1Maker.from_config(
        CodeSwitchConfig(lexicons=(str(output / "lexicons"),), languages=codes, ratio="0.3-1.0"), seed
    )
    yield from maker.records(English(row["id"], row["text"]) for row in rows)


def _start_pretraining(output: Path, seed: int, steps: int | None) -> dict[str, subprocess.Popen]:
    """Both stand-ins side by side, a process and a core each."""
    processes = {}
    for name in ("encoder", "llm"):
        command = [sys.executable, "-m", "lingualift_ds.miniature.standins", name]
        command += ["--output", str(output / "models" / name), "--seed", str(seed)]
        command += [] if steps is None else ["--steps", str(steps)]
        environment = unlaunched() | {"OMP_NUM_THREADS": "1"}
        processes[name] = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    return processes


def _wait(processes: dict[str, subprocess.Popen]) -> None:
    for name, process in processes.items():
        if process.wait() != 0:
            raise DataError(f"the miniature's {name} could not be trained (exit code {process.returncode}, see above)")
