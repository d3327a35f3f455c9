"""Bad input: each kind ends in one clear line, exit code 2, and nothing written over."""

import os
import re
import shutil
from pathlib import Path

import pytest
import tiny
from launching import train
from spoilers import (
    another_tokenizer,
    append,
    cut_short,
    cut_short_on,
    damage_artefact,
    drop_eos,
    drop_target,
    drop_tokenizer,
    foreign_folder,
    pretend_stage2,
    retouch,
    spoil_line_17,
)

from lingualift_ds import dist
from lingualift_ds.cli import main as cli
from lingualift_ds.cli import train as cli_train


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    tiny.write_recipe(folder)
    # A finished stage 1 in "done", and one made with another encoder in "other".
    for name in ("done", "other"):
        if name == "other":
            tiny.save_encoder(folder / "encoder2", seed=7)
        encoder = [f"model.encoder={folder}/encoder2"] if name == "other" else []
        arguments = ["--stage", "1", "--config", str(folder / "recipe-zero3.yaml"), f"run.output={folder}/{name}"]
        train(1, "python", *arguments, "stage1.steps=1", *encoder)
    return folder


@pytest.fixture
def work(base, tmp_path, monkeypatch) -> Path:
    """A copy to spoil, with the recipe's paths in it."""
    shutil.copytree(base, tmp_path / "w")
    for path in (tmp_path / "w").rglob("*.yaml"):
        path.write_text(path.read_text().replace(str(base), str(tmp_path / "w")))
    monkeypatch.chdir(tmp_path)
    for key in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(key, raising=False)
    yield tmp_path / "w"
    dist.disconnect()


NOTHING = lambda work: None  # noqa: E731
# Name: (spoil, arguments after --config RECIPE, what the line must say). {w} is the folder.
TABLE = {
    "no such config": (NOTHING, ["--config", "{w}/nosuch.yaml"], r"nosuch\.yaml: no such config file; in .*recipe"),
    "unknown key": (NOTHING, ["stage1.optimizer.learning_rte=1"], "learning_rte: unknown key; valid keys: lr"),
    "misspelt key": (NOTHING, ["stage1.bacth.samples=8"], "stage1.bacth: unknown key; did you mean batch"),
    "wrong type": (NOTHING, ["stage1.epochs=two"], "stage1.epochs: expected a whole number, found text 'two'"),
    "not an override": (NOTHING, ["stage1.epochs"], "expected key.path=value"),
    "impossible number": (NOTHING, ["stage1.optimizer.lr=0"], "stage1.optimizer.lr: 0.0, must be above 0"),
    "batch stated twice": (NOTHING, ["stage1.batch.tokens=900"], "stage1.batch: both of samples and tokens is given"),
    "micro-batch below a sample": (NOTHING, ["stage1.batch.micro_tokens=90"], "may have 160 tokens .*at least 160"),
    "trained and resident": (
        NOTHING,
        ["--stage", "2", "stage2.start_from=scratch", "stage2.sharding.llm=resident"],
        "stage2.sharding.llm: resident, but the llm is trained here; allowed: auto",
    ),
    "sharded without ZeRO-3": (
        NOTHING,
        ["stage1.deepspeed=ds_configs/stage1_zero2.json", "stage1.sharding.encoder=sharded"],
        "stage1.sharding.encoder: sharded, but the DeepSpeed JSON says ZeRO-2; only ZeRO-3 shards weights",
    ),
    "missing data file": (lambda w: (w / "stage1.jsonl").unlink(), [], r"stage1.data.train: no such file: .*stage1"),
    "no data file named": (NOTHING, ["stage1.data.train=[]"], "stage1.data.train: missing; name at least one"),
    "empty file": (lambda w: (w / "stage1.jsonl").write_text(""), [], "stage1.data.train: the file is empty"),
    "blank file": (lambda w: (w / "stage1.jsonl").write_text("\n\n"), [], r"stage1\.jsonl: the file is empty"),
    "bad JSON on line 17": (spoil_line_17, [], r"stage1\.jsonl:17: not JSON"),
    "record without target": (drop_target, [], r"stage1\.jsonl:5: 'target' is missing"),
    "not UTF-8": (lambda w: (w / "stage1.jsonl").write_bytes(b"\xff\xfe{}"), [], r"stage1\.jsonl:1: not UTF-8"),
    "encoder without tokenizer": (drop_tokenizer, [], "model.encoder: .*has no tokenizer"),
    "no such encoder": (NOTHING, ["model.encoder={w}/nowhere"], "model.encoder: no such folder"),
    "encoder is an LLM": (NOTHING, ["model.encoder={w}/llm"], "llama is not an encoder that can be bridged"),
    "LLM without EOS": (drop_eos, [], "model.llm: .*tokenizer has no EOS token"),
    "fp16 with mT5": (
        NOTHING,
        ["model.precision=fp16"],
        "model.precision: fp16 .* mT5 .*; allowed: bf16, fp32",
    ),
    "longer than the LLM": (
        NOTHING,
        ["model.llm_max_tokens=999", "stage1.batch.micro_tokens=999"],
        "999, but this LLM has 256 positions",
    ),
    "monitor not installed": (NOTHING, ["run.monitors=[wandb]"], "wandb: not installed here; pip install wandb"),
    "row with a number as instruction": (
        lambda w: append(w, {"text": "a", "target": "b", "instruction": 7}),
        [],
        r"stage1\.jsonl:41: 'instruction' is not text but int",
    ),
    "row with a list as id": (
        lambda w: append(w, {"text": "a", "target": "b", "id": [1]}),
        [],
        r"stage1\.jsonl:41: 'id' is not text but list",
    ),
    "same file twice": (NOTHING, ["stage1.data.train=[{w}/stage1.jsonl,{w}/stage1.jsonl]"], "named twice: .*stage1"),
    "no such artefact named": (
        NOTHING,
        ["--stage", "2", "stage2.start_from={w}/x"],
        "stage2.start_from: .* is no artefact",
    ),
    "group that is not trained": (NOTHING, ["stage1.optimizer.groups.llm.lr=1"], "but stage 1 trains alignment only"),
    "empty model name": (NOTHING, ["model.llm="], "model.llm: (empty|expected)"),
    "name too long": (NOTHING, ["run.output={w}/" + "a" * 300], "File name too long"),
    "date that is none": (NOTHING, ["run.seed=2024-99-99"], "the value is not valid YAML"),
    "training text changed under a checkpoint": (
        lambda w: (cut_short(w), retouch(w / "stage1.jsonl")),
        ["run.output={w}/done", "stage1.steps=1"],
        r"step-000001: its data \(.*/stage1\.jsonl\) is no longer what it was",
    ),
    "finished stage without its artefact": (
        lambda w: shutil.rmtree(w / "done/stage1/artefact"),
        ["run.output={w}/done", "stage1.steps=1"],
        "artefact: has no manifest.json",
    ),
    "finished stage with an empty COMPLETE": (
        lambda w: (w / "done/stage1/COMPLETE").write_text(""),
        ["run.output={w}/done", "stage1.steps=1"],
        "COMPLETE: is damaged",
    ),
    "manifest that lists nothing": (
        lambda w: (w / "done/stage1/artefact/manifest.json").write_text('{"format": 1, "files": {}}'),
        ["--stage", "2", "run.output={w}/done"],
        r"manifest\.json: is damaged: it lists no files",
    ),
    "training nothing": (NOTHING, ["stage1.train=[]"], "stage1.train: empty, nothing would be trained"),
    "negative seed": (NOTHING, ["run.seed=-1"], "run.seed: -1, must be at least 0"),
    "not a number": (NOTHING, ["stage1.optimizer.clip=.nan"], "stage1.optimizer.clip: nan, must be at least 0"),
    "negative group lr": (
        NOTHING,
        ["stage1.optimizer.groups.alignment.lr=-1"],
        "stage1.optimizer.groups.alignment.lr: -1.0, must be above 0",
    ),
    "DeepSpeed section no object": (
        lambda w: (w / "zero3.json").write_text('{"zero_optimization": 3}'),
        [],
        "zero_optimization is 3, must be an object",
    ),
    "data changed under a checkpoint": (
        lambda w: (cut_short(w), tiny.write_rows(w / "stage1.jsonl", 39, language="sw")),
        ["run.output={w}/done", "stage1.steps=1"],
        r"step-000001: its data \(.*/stage1\.jsonl\) is no longer what it was",
    ),
    "encoder changed under a checkpoint": (
        lambda w: (cut_short(w), tiny.save_encoder(w / "encoder", seed=9)),
        ["run.output={w}/done", "stage1.steps=1"],
        r"step-000001: its encoder \(.*/encoder\) is no longer what it was",
    ),
    "damaged only checkpoint": (
        lambda w: (cut_short(w), next((w / "done/stage1/checkpoints").glob("step-*/*optim*")).write_bytes(b"x")),
        ["run.output={w}/done", "stage1.steps=1"],
        "holds no whole checkpoint",
    ),
    "stage 1 changed under a finished stage 2": (
        pretend_stage2,
        ["--stage", "2", "run.output={w}/done"],
        "is complete, but was trained from another artefact than .*stage1/artefact holds now",
    ),
    "no such group": (
        NOTHING,
        ["stage1.train=[adapter]"],
        "stage1.train: 'adapter': begins with no group; allowed: encoder",
    ),
    "stage 1 without encoder": (
        NOTHING,
        ["model.encoder=null"],
        "language-align trains the alignment layer, but model.encoder",
    ),
    "flash-attn is not there": (
        NOTHING,
        ["model.attention.llm=flash_attention_2"],
        "model.attention.llm: flash_attention_2: no GPU for flash-attn and varlen; here: sdpa, eager",
    ),
    "stage 2 without stage 1": (NOTHING, ["--stage", "2"], r"stage1/artefact: no such artefact; run --stage 1 first"),
    "artefact of another encoder": (
        NOTHING,
        ["--stage", "2", "stage2.start_from={w}/other/stage1/artefact"],
        "was made with another encoder: fingerprint",
    ),
    "artefact of another kind": (
        NOTHING,
        ["--stage", "2", "run.output={w}/done", "model.alignment.kind=linear"],
        "was made with another alignment: kind 'ffn'",
    ),
    "damaged artefact": (
        damage_artefact,
        ["--stage", "2", "run.output={w}/done"],
        r"alignment\.safetensors: its SHA-256 is not the one",
    ),
    "resume with another config": (
        NOTHING,
        ["run.output={w}/done", "stage1.steps=1", "stage1.optimizer.lr=5"],
        r"holds a run of another config \(stage1.optimizer.lr was 0.001, is 5.0",
    ),
    "named checkpoint is damaged": (
        cut_short_on("done/stage1/checkpoints/step-000001/probe.json"),
        ["run.output={w}/done", "stage1.steps=1", "--resume-step", "1"],
        r"--resume-step 1: .*probe\.json: its SHA-256 is not the one in manifest\.json",
    ),
    "named checkpoint is not there": (
        cut_short,
        ["run.output={w}/done", "stage1.steps=1", "--resume-step", "7"],
        "--resume-step 7: .*checkpoints holds no such step; there are: 1",
    ),
    "checkpoint as artefact": (
        NOTHING,
        ["--stage", "2", "stage2.start_from={w}/done/stage1/checkpoints/step-000001"],
        "step-000001: holds a checkpoint, not an artefact; export makes one of it",
    ),
    "artefact of another tokenizer": (
        another_tokenizer,
        ["--stage", "2", "run.output={w}/done"],
        "was made with another encoder: tokenizer",
    ),
    "run folder not empty": (foreign_folder, [], r"is not empty and holds no run \(thesis.docx\)"),
    "never over a run": (NOTHING, ["run.output={w}/done", "--resume", "never"], "not empty and --resume is never"),
    "must without a checkpoint": (
        NOTHING,
        ["--resume", "must"],
        r"no checkpoint to resume from; looked in .*run/stage1",
    ),
    "unwritable path": (NOTHING, ["run.output=/proc/nowhere"], "the run folder cannot be written"),
    "a file as run folder": (lambda w: (w / "f").write_text(""), ["run.output={w}/f"], "(Not a directory|is a file)"),
    "no such stage": (NOTHING, ["--stage", "3"], r"--stage 3: no such stage; there are: 1 \(language-align\), 2"),
    "no DeepSpeed config": (
        NOTHING,
        ["stage1.deepspeed=nosuch.json"],
        "deepspeed: no such file: nosuch.json; there are",
    ),
    "DeepSpeed config not named": (NOTHING, ["stage1.deepspeed="], "stage1.deepspeed: (missing|expected)"),
    "DeepSpeed contradicts": (
        lambda w: (w / "zero3.json").write_text('{"bf16": {"enabled": true}, "zero_optimization": {"stage": 3}}'),
        [],
        "bf16.enabled is True, but the run config says False",
    ),
    "DeepSpeed config not JSON": (lambda w: (w / "zero3.json").write_text("{"), [], r"zero3\.json: not valid JSON"),
}


@pytest.mark.parametrize("name", TABLE)
def test_bad_input_ends_in_one_clear_line(name, work, capsys):
    spoil, arguments, said = TABLE[name]
    spoil(work)
    before = {p: p.stat().st_mtime_ns for p in work.rglob("*") if p.is_file()}
    arguments = [a.format(w=work) for a in arguments]
    stage = [] if "--stage" in arguments else ["--stage", "1"]
    config = [] if "--config" in arguments else ["--config", str(work / "recipe-zero3.yaml")]
    assert cli_train.main([*stage, *config, *arguments]) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and re.search(said, errors[0]), errors
    after = {p: p.stat().st_mtime_ns for p in work.rglob("*") if p.is_file()}
    changed = {p for p in before.keys() | after.keys() if before.get(p) != after.get(p)}
    left = {p for p in changed if p.name not in ("config.yaml", ".lock") and p.parent.name != "logs"}
    assert not left, f"something was written: {left}"


def test_a_mistake_ends_every_rank_of_a_real_launch_with_one_line(base):
    said = train(
        2, "deepspeed", "--stage", "1", "--config", str(base / "recipe-zero3.yaml"),
        f"run.output={base}/odd", "stage1.batch.micro_tokens=90", code=2,
    )  # fmt: skip
    assert said.count("stage1.batch.micro_tokens: 90, but one sample may have 160 tokens") == 1
    assert "Traceback" not in said and not (base / "odd").exists()


CHECK = ["check", "--config", "{w}/recipe-zero3.yaml"]
COMMANDS = {
    "plan with a trained module resident": (
        [*CHECK, "--stage", "2", "stage2.sharding.llm=resident"],
        "stage2.sharding.llm: resident, but the llm is trained here",
    ),
    "plan for no number of GB": ([*CHECK, "--stage", "1", "--gpu-memory", "lots"], "must be a number of GB above 0"),
    "plan without the data": (
        [*CHECK, "--stage", "1", "stage1.data.train=[{w}/nowhere.jsonl]"],
        "stage1.data.train: no such file",
    ),
    "nothing to prepare": (
        ["prepare", "--config", "{w}/recipe-zero3.yaml", "--stage", "1", "stage1.data.train=[{w}/nowhere.jsonl]"],
        "stage1.data.train: no such file",
    ),
    "output is a lexicon": (
        ["codeswitch", "--input", "{w}/t.txt", "--lexicons", "{w}/good", "--output", "{w}/good/en-sw.txt"],
        "is an input too",
    ),
    "no tokens to generate": (["generate", "--model", "{w}/x", "hi", "--max-new-tokens", "0"], "must be at least 1"),
    "someone's recipe in the way": (["miniature", "--output", "{w}/mine"], "a recipe that is not of this miniature"),
    "empty lexicon": (
        ["codeswitch", "--input", "{w}/t.txt", "--lexicons", "{w}/lex", "--output", "{w}/o"],
        r"en-sw\.txt",
    ),
    "no lexicon": (["codeswitch", "--input", "{w}/t.txt", "--lexicons", "{w}/llm", "--output", "{w}/o"], "llm"),
    "not a model": (
        ["generate", "--model", "{w}/encoder", "hello"],
        "neither a bridged one nor a causal LM",
    ),
    "no such task": (["evaluate", "--model", "{w}/x", "--tasks", "mgms", "--data", "{w}", "--output", "{w}/o"], "mgms"),
    "no such model": (["generate", "--model", "{w}/nowhere", "hello"], "no such folder"),
    "empty question": (["generate", "--model", "{w}/done/stage1", " "], "the question is empty"),
    "check of a bad recipe": (["check", "--config", "{w}/llm/config.json", "--stage", "1"], "unknown key"),
    "check of no ranks": (
        ["check", "--config", "{w}/recipe-zero3.yaml", "--stage", "1", "--world-size", "0"],
        "world-size",
    ),
    "unwritable miniature": (["miniature", "--output", "/proc/nowhere"], "cannot be written"),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_bad_input_to_the_other_commands(name, work, capsys):
    (work / "t.txt").write_text("Ann has apples.\n")
    (work / "lex").mkdir()
    (work / "good").mkdir()
    (work / "good/en-sw.txt").write_text("apple\ttufaha\n")
    (work / "mine").mkdir()
    (work / "mine/recipe.yaml").write_text("run: {seed: 0}\n")
    (work / "lex/en-sw.txt").write_text("")
    (work / "jsonl").mkdir()
    (work / "sw.jsonl").write_text('{"text": "Ann has 3 apples.", "answer": "3"}\n')
    arguments, said = COMMANDS[name]
    assert cli.main([a.format(w=work) for a in arguments]) == 2
    error = capsys.readouterr().err
    assert re.search(said, error) and "Traceback" not in error
    assert not os.path.exists(work / "o") or not os.listdir(work / "o")
