"""Records what the models give, anew: for whoever has changed them on purpose, and then says so.

python -m lingualift_ds.evaluate.golden --record
"""

import argparse
import json
import platform
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from lingualift_ds import hub
from lingualift_ds.data.atomic import write_aside
from lingualift_ds.evaluate.golden.comparison import NEW_TOKENS, measure
from lingualift_ds.evaluate.golden.folder import FORMAT, RECORD, write_model
from lingualift_ds.evaluate.golden.models import QUESTIONS, TARGETS, Made, make_models
from lingualift_ds.log import get_logger

_DIGITS = 5
_LEAD = 0.04
"""By how much the logit of each greedy token must lead: or rounding would choose between two."""


def main(argv: list[str] | None = None) -> int:
    """Record, on this machine's CPU."""
    parser = argparse.ArgumentParser(prog="python -m lingualift_ds.evaluate.golden", description=__doc__)
    parser.add_argument("--record", action="store_true", required=True, help="write the record anew")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / RECORD, metavar="F", help="elsewhere")
    path = parser.parse_args(argv).output
    write_aside(path, as_text(make_record()))
    get_logger("golden").info("%s: recorded", path)
    return 0


def make_record() -> dict[str, Any]:
    """The models and what they give here."""
    names = ("torch", "transformers", "tokenizers", "safetensors", "numpy")
    made_with = {name: version(name) for name in names} | {"python": platform.python_version()}
    return {
        "format": FORMAT,
        "how": "python -m lingualift_ds.evaluate.golden --record",
        "made_with": made_with | {"machine": platform.machine(), "device": "cpu", "dtype": "float32"},
        "models": {name: record_model(made) for name, made in make_models().items()},
    }


def record_model(made: Made) -> dict[str, Any]:
    """One model: all that its folder holds but the weights, and what it gives."""
    case: dict[str, Any] = {"seed": made.seed, "questions": list(QUESTIONS), "targets": list(TARGETS)}
    with tempfile.TemporaryDirectory() as folder:
        case["config"], case["tensors"] = _described(made, Path(folder))
        case["tokenizers"] = {role: _files(own, Path(folder) / role) for role, own in made.tokenizers.items()}
    with tempfile.TemporaryDirectory() as folder:
        write_model(Path(folder), case)
        found = measure(Path(folder), QUESTIONS, TARGETS, "cpu", torch.float32)
        lead = _lead(Path(folder))
    assert lead > _LEAD, f"a greedy token leads by {lead:.4f} alone: choose another seed"
    return case | {
        "tokens": found.tokens,
        "logits": [[round(value, _DIGITS) for value in row] for row in found.logits],
        "new_ids": found.new_ids,
        "loss": round(found.loss, _DIGITS),
    }


def _described(made: Made, folder: Path) -> tuple[dict[str, Any], dict[str, list[int]]]:
    """config.json, and shapes of the tensors by name as a folder holds them: tied ones once."""
    model = hub.LinguaLiftForCausalLM(made.config)
    shapes = {name: list(tensor.shape) for name, tensor in model.state_dict().items()}
    tied = getattr(model, "all_tied_weights_keys", {})
    made.config.save_pretrained(folder)
    described = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return described, {name: shape for name, shape in shapes.items() if name not in tied}


def _lead(folder: Path) -> float:
    """The smallest distance of a greedy token's logit to the next one's."""
    model = hub.load_model(folder).to("cpu")
    made = model.generate(
        **model.processor(QUESTIONS), max_new_tokens=NEW_TOKENS, output_logits=True, return_dict_in_generate=True
    )
    best = torch.stack(made.logits).topk(2).values
    return float((best[..., 0] - best[..., 1]).min())


def _files(tokenizer: Any, folder: Path) -> dict[str, Any]:
    tokenizer.save_pretrained(folder)
    return {path.name: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.iterdir())}


def as_text(record: dict[str, Any]) -> str:
    """As JSON with a line for each thing recorded of a model."""
    lines = [f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in record.items() if name != "models"]
    models = []
    for name, case in record["models"].items():
        parts = [f"      {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in case.items()]
        models.append(f"    {json.dumps(name)}: {{\n" + ",\n".join(parts) + "\n    }")
    lines.append('  "models": {\n' + ",\n".join(models) + "\n  }")
    return "{\n" + ",\n".join(lines) + "\n}\n"


if __name__ == "__main__":
    sys.exit(main())
