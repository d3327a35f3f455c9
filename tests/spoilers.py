"""Ways to spoil a folder of tiny models, rows and finished runs, each as users have done it."""

import json
from pathlib import Path

import yaml

from lingualift_ds.config.load import dump_config, load_config


def recipe(work: Path) -> dict:
    return yaml.safe_load((work / "recipe-zero3.yaml").read_text())


def rewrite(work: Path, change) -> None:
    values = recipe(work)
    change(values)
    (work / "recipe-zero3.yaml").write_text(yaml.safe_dump(values))


def spoil_line_17(work: Path) -> None:
    lines = (work / "stage1.jsonl").read_text().splitlines()
    lines[16] = '{"text": "half a'
    (work / "stage1.jsonl").write_text("\n".join(lines))


def drop_target(work: Path) -> None:
    rows = [json.loads(line) for line in (work / "stage1.jsonl").read_text().splitlines()]
    del rows[4]["target"]
    (work / "stage1.jsonl").write_text("\n".join(json.dumps(r) for r in rows))


def drop_eos(work: Path) -> None:
    path = work / "llm/tokenizer_config.json"
    path.write_text(json.dumps({k: v for k, v in json.loads(path.read_text()).items() if k != "eos_token"}))


def damage_artefact(work: Path) -> None:
    path = work / "done/stage1/artefact/alignment.safetensors"
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(bytes(data))


def append(work: Path, row: dict) -> None:
    with (work / "stage1.jsonl").open("a") as file:
        file.write(json.dumps(row) + "\n")


def retouch(path: Path) -> None:
    """Another text of the same length."""
    path.write_text(path.read_text().replace("Ann has 4 apples", "Ann has 5 apples", 1))


def cut_short(work: Path) -> None:
    """As if stage 1 had been killed after its checkpoint."""
    (work / "done/stage1/COMPLETE").unlink()


def cut_short_on(other: str):
    """The same, with a bit flipped in a file under it."""

    def spoil(work: Path) -> None:
        cut_short(work)
        path = next(work.glob(other))
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(bytes(data))

    return spoil


def another_tokenizer(work: Path) -> None:
    """The encoder's files are the same, and its tokenizer makes other tokens of a text."""
    path = work / "encoder/tokenizer.json"
    values = json.loads(path.read_text())
    values["normalizer"] = None
    path.write_text(json.dumps(values))


def pretend_stage2(work: Path) -> None:
    config = load_config(work / "recipe-zero3.yaml", [f"run.output={work}/done"])
    (work / "done/stage2").mkdir()
    (work / "done/stage2/config.yaml").write_text(dump_config(config))
    (work / "done/stage2/COMPLETE").write_text(json.dumps({"identity": {"handover": "0" * 64}}))


def drop_tokenizer(work: Path) -> None:
    for path in (work / "encoder").glob("tokenizer*"):
        path.unlink()


def foreign_folder(work: Path) -> None:
    (work / "run/stage1").mkdir(parents=True)
    (work / "run/stage1/thesis.docx").write_text("years of work")
