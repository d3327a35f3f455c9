"""Stage folders made up of small files: checkpoints and artefacts with true manifests, and ways to spoil them."""

import json
from pathlib import Path
from typing import Any

from lingualift_ds.checkpoint.manifest import FORMAT, file_entry, sealed, write_json, write_manifest

IDENTITY = {"zero": 3, "llm": "a" * 64, "encoder": "commit 12ab", "handover": None, "data": "d" * 64}
TENSORS = {
    "alignment.end": {"shape": [32], "dtype": "float32", "trained": True},
    "alignment.project.weight": {"shape": [2000, 1000], "dtype": "float32", "trained": True},
    "llm.head.weight": {"shape": [340, 32], "dtype": "bfloat16", "trained": False},
}
FACTS = {
    "stage": "language-align",
    "samples": 800,
    "tokens": 12345,
    "position": {"epoch": 0, "step_in_epoch": 100},
    "world_size": 2,
    "zero": 3,
    "precision": "bf16",
    "config": "c" * 64,
    "identity": IDENTITY,
    "sources": {"llm": "models/llm", "encoder": "org/encoder", "alignment": None, "data": "data/stage1.jsonl"},
    "probe": {"loss": 3.25},
    "tensors": TENSORS,
}


def entries(folder: Path) -> dict[str, dict[str, Any]]:
    return {str(p.relative_to(folder)): file_entry(p) for p in sorted(folder.rglob("*")) if p.is_file()}


def checkpoint(folder: Path, step: int, **facts: Any) -> Path:
    path = folder / f"step-{step:06d}"
    path.mkdir(parents=True)
    for rank in range(2):
        (path / f"rank-{rank:05d}.json").write_text("{}")
        (path / f"zero_pp_rank_{rank}_mp_rank_00_model_states.pt").write_bytes(b"m" * 100)
        (path / f"bf16_zero_pp_rank_{rank}_mp_rank_00_optim_states.pt").write_bytes(b"o" * 5000)
    (path / "probe.json").write_text("[]")
    write_manifest(path, "checkpoint", entries(path), {**FACTS, "step": step, **facts})
    (folder / "latest").write_text(path.name)
    return path


def artefact(folder: Path, **facts: Any) -> Path:
    folder.mkdir(parents=True)
    tensors = {"alignment.end": [32], "alignment.project.weight": [4, 32], "llm.head.weight": [8, 32]}
    header, at = {"__metadata__": {"format": "pt"}}, 0
    for name, shape in tensors.items():
        size = 4 * (shape[0] * (shape[1] if len(shape) > 1 else 1))
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    (folder / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + bytes(at))
    models = {
        "llm": {"name": "models/llm", "fingerprint": "a" * 64, "config": {"model_type": "llama"}},
        "encoder": {"name": "org/encoder", "fingerprint": "commit 12ab"},
    }
    write_json(folder / "config.json", {"model_type": "lingualift", "alignment": {"kind": "ffn"}, **models})
    (folder / "llm_tokenizer").mkdir()
    (folder / "llm_tokenizer/tokenizer.json").write_text("{}")
    told = {"stage": "task-transfer", "step": 300, "samples": 1, "tokens": 2, "identity": IDENTITY, **facts}
    write_manifest(folder, "artefact", entries(folder), told)
    return folder


def spoil(path: Path, how: str) -> None:
    shard, manifest = path / "bf16_zero_pp_rank_1_mp_rank_00_optim_states.pt", path / "manifest.json"
    value = json.loads(manifest.read_text())
    if how == "flip":
        shard.write_bytes(b"x" + shard.read_bytes()[1:])
    elif how == "cut":
        shard.write_bytes(shard.read_bytes()[:-1])
    elif how == "missing":
        shard.unlink()
    elif how == "a folder":
        shard.unlink()
        shard.mkdir()
    elif how == "a dead link":
        shard.unlink()
        shard.symlink_to("nowhere")
    elif how == "a link in circles":
        shard.unlink()
        shard.symlink_to(shard.name)
    elif how == "no manifest":
        manifest.unlink()
    elif how == "garbage":
        manifest.write_bytes(b"\xff\xfe{")
    elif how == "deep":
        manifest.write_text("[" * 100_000)
    elif how == "a list":
        manifest.write_text("[1]")
    elif how == "no files":
        manifest.write_text(json.dumps(sealed({**value, "files": {}})))
    elif how == "negative size":
        value["files"][shard.name]["size"] = -1
        manifest.write_text(json.dumps(sealed(value)))
    elif how == "escape":
        (path.parent / "outside").write_text("x")
        manifest.write_text(json.dumps(sealed({**value, "files": {"../outside": file_entry(path.parent / "outside")}})))
    elif how == "strange names":
        entry = {"size": 1, "sha256": "0"}
        manifest.write_text(
            json.dumps(sealed({**value, "files": {"a\0b": entry, "\ud800": entry, "c" * 999: entry, "": entry}}))
        )
    else:
        manifest.write_text(json.dumps(sealed({**value, "format": int(how)})))


DAMAGE = {
    "flip": None,  # the size is right: only hashing finds it
    "cut": r"damaged: bf16\S+optim_states\.pt has 4999 bytes, manifest says 5000",
    "missing": r"damaged: bf16\S+optim_states\.pt is missing",
    "a folder": r"damaged: bf16\S+optim_states\.pt is no file",
    "a dead link": r"damaged: bf16\S+optim_states\.pt is missing",
    "a link in circles": r"damaged: bf16\S+optim_states\.pt cannot be read: Too many levels",
    "no manifest": r"unfinished: has no manifest\.json: it was not written to its end",
    "garbage": r"damaged: manifest\.json: .utf-8. codec",
    "deep": r"damaged: manifest\.json: RecursionError",
    "a list": r"damaged: manifest\.json: TypeError",
    "no files": r"damaged: manifest\.json: it lists no files",
    "negative size": r"damaged: bf16\S+optim_states\.pt has 5000 bytes, manifest says -1",
    "escape": r"damaged: manifest\.json: it lists a file outside of its folder: \.\./outside",
    "strange names": r"damaged: .*, and 3 more",
    "1": rf"of format 1; this version reads format {FORMAT}",
}
