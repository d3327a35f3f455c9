"""Sweeps without models: a recipe of names, a sweep file, and a stand-in for what trains and evaluates."""

import json
import sys
from pathlib import Path

import yaml

FAKE = """
import json, os, signal, sys, time
from pathlib import Path
from lingualift_ds.config.load import dump_config, load_config

script, *words = sys.argv[1:]
with open(os.environ["CALLS"], "a") as calls:
    calls.write(" ".join([Path(script).name, *words]) + "\\n")
if script.endswith("train.py"):
    stage, config = words[1], load_config(words[3], words[4:])
    folder = Path(config.run.output) / f"stage{stage}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(dump_config(config))
    if os.environ.get("FAILS", "none") in str(folder):
        print("error: 2 problems:\\\\n  - first\\\\n  - second".encode().decode("unicode_escape"))
        print("and a last line")
        sys.exit(2)
    if "SLOW" in os.environ:
        def leave(*_):
            (folder / "saved").touch()
            sys.exit(75)
        signal.signal(signal.SIGTERM, leave)
        (folder / "begun").touch()
        time.sleep(60)
    (folder / "artefact").mkdir(exist_ok=True)
    (folder / "artefact/manifest.json").touch()
    (folder / "COMPLETE").touch()
else:
    told = dict(zip(words[::2], words[1::2]))
    Path(told["--output"]).mkdir(parents=True, exist_ok=True)
    tasks = {task: {"languages": {"sw": {}}} for task in told["--tasks"].split(",")}
    about = {"limit": int(told["--limit"]) if "--limit" in told else None, "max_new_tokens": 256}
    (Path(told["--output"]) / "evaluation.json").write_text(json.dumps(about))
    (Path(told["--output"]) / "results.json").write_text(json.dumps({"tasks": tasks}))
"""
ARMS = {
    "lift": {"name": "LIFT"},
    "frozen": {"set": {"stage2.train": ["alignment"]}},
    "mono": {"stages": [2], "set": {"model.encoder": None}},
    "first": {"stages": [1]},
    "again": {},
}


def write_sweep(folder: Path, **keys) -> Path:
    """A sweep file in `folder` over a recipe of names, with what it needs beside it; keys go over its own."""
    (folder / "questions").mkdir(exist_ok=True)
    (folder / "questions/sw.jsonl").write_text('{"id": "1", "text": "a", "answer": "3"}\n')
    (folder / "data.jsonl").write_text('{"text": "a", "target": "b"}\n')
    (folder / "fake.py").write_text(FAKE)
    stage = {"data": {"train": [str(folder / "data.jsonl")]}, "batch": {"samples": 16}, "deepspeed": "ds.json"}
    recipe = {"model": {"encoder": "enc", "llm": "llm"}, "stage1": stage, "stage2": stage}
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    values = {
        "output": str(folder / "out"),
        "recipe": str(folder / "recipe.yaml"),
        "evaluate": {"tasks": ["jsonl"], "data": str(folder / "questions")},
        "arms": ARMS,
    } | keys
    path = folder / "sweep.yaml"
    path.write_text(yaml.safe_dump({key: value for key, value in values.items() if value is not None}, sort_keys=False))
    return path


def launcher(folder: Path) -> str:
    """--launcher that stands in for training and evaluation."""
    return f"{sys.executable} {folder / 'fake.py'}"


def record(folder: Path) -> dict:
    """What sweep.json says."""
    return json.loads((folder / "out/sweep.json").read_text(encoding="utf-8"))
