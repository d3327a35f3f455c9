"""The memory plan held against what a training step really holds: predicted and measured bytes, side by side.

    python benchmarks/memory.py [--json FILE] [--only NAME ...] [--imagined]
    python benchmarks/memory.py --largest GB [--preset cpu|h200]

Every case builds an encoder and an LLM with random weights (about 45 M parameters together), takes two optimizer
steps of two micro-batches with the toolkit's own model, loss and DeepSpeed engine, and counts the bytes of tensors
in the second one: on a GPU by PyTorch's allocator, on a CPU tensor by tensor (benchmarks/allocations.py). The plan
knows of a case what `lingualift-ds check` would know. Cases run in processes of their own, two ranks over gloo or
NCCL; the rank with more bytes counts. --imagined adds models of real size, see benchmarks/imagined.py.

--largest finds instead the largest micro-batch whose step stays below so much memory, of the authors' layout and of
ours: benchmarks/largest.py.
"""

import argparse
import datetime
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from lingualift_ds.cli.errors import end_process
from lingualift_ds.config.memory import Mode, Setup, plan_memory
from lingualift_ds.config.shapes import encoder_shape, llm_shape

_ROOT = Path(__file__).parents[1]
_SAMPLES, _LENGTH, _TEXT, _TARGET = 8, 128, 40, 77
"""Samples of a micro-batch, and each one's LLM positions, encoder tokens and target tokens."""
_PASSES = {"forward": ("encoder", "loss"), "backward": ("backward", "backward's end"), "step": ("optimizer",)}
"""Which planned moments fall into which part of a step."""


@dataclass(frozen=True)
class Case:
    """One setting. Sizes of buckets are small, or they would be all there is to see of models this small."""

    name: str
    stage: int
    zero: int
    precision: str = "fp32"
    ranks: int = 1
    sharding: Mode = "resident"
    """Of what is frozen."""
    recomputed: int = 0
    tied: bool = False
    llm: str = "llama"
    encoder: str = "mt5"
    reuse: int = 1_000_000_000
    """stage3_max_reuse_distance, in elements."""
    live: int = 1_000_000_000
    """stage3_max_live_parameters, in elements."""
    width: int = 384
    layers: int = 8
    vocabulary: int = 16_000

    @property
    def zero_settings(self) -> dict[str, Any]:
        """zero_optimization of the DeepSpeed JSON."""
        return {
            "stage": self.zero,
            "overlap_comm": self.zero == 3,
            "contiguous_gradients": True,
            "reduce_bucket_size": 5_000_000,
            "allgather_bucket_size": 5_000_000,
            "stage3_prefetch_bucket_size": 2_000_000,
            "stage3_param_persistence_threshold": 10_000,
            "stage3_max_live_parameters": self.live,
            "stage3_max_reuse_distance": self.reuse,
        }


CASES = (
    Case("stage 1, ZeRO-1, bf16", 1, 1, "bf16"),
    Case("stage 1, ZeRO-2, 2 ranks", 1, 2, ranks=2),
    Case("stage 1, ZeRO-3, resident", 1, 3, "bf16", ranks=2),
    Case("stage 1, ZeRO-3, sharded", 1, 3, "bf16", ranks=2, sharding="sharded"),
    Case("stage 1, ZeRO-3, sharded, few live", 1, 3, ranks=2, sharding="sharded", reuse=4_000_000, live=8_000_000),
    Case("stage 1, ZeRO-2, all recomputed", 1, 2, recomputed=8),
    Case("stage 1, ZeRO-2, Gemma-2 and XLM-R", 1, 2, llm="gemma2", encoder="xlm-roberta", tied=True),
    Case("stage 2, ZeRO-0", 2, 0),
    Case("stage 2, ZeRO-1, tied head", 2, 1, tied=True),
    Case("stage 2, ZeRO-2, bf16, 2 ranks", 2, 2, "bf16", ranks=2),
    Case("stage 2, ZeRO-3, bf16, tied head", 2, 3, "bf16", tied=True),
    Case("stage 2, ZeRO-3, 2 ranks", 2, 3, ranks=2),
    Case("stage 2, ZeRO-3, bf16, 2 ranks, sharded", 2, 3, "bf16", ranks=2, sharding="sharded"),
    Case("stage 2, ZeRO-3, bf16, 2 ranks, 4 recomputed", 2, 3, "bf16", ranks=2, recomputed=4),
    Case("stage 2, ZeRO-3, all recomputed, Qwen2 and NLLB", 2, 3, recomputed=8, llm="qwen2", encoder="m2m_100"),
)


def main() -> int:
    """Measure all cases, print the table, and write the numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers there")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="cases whose name holds one of these")
    parser.add_argument("--imagined", action="store_true", help="models of real size too, without their memory")
    parser.add_argument("--largest", type=float, metavar="GB", help="instead: the largest micro-batch that fits")
    parser.add_argument("--preset", default="cpu", help="of --largest: models as in benchmarks/throughput.py")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.case:
        run_rank(Case(**json.loads(arguments.case)))
        return 0
    if arguments.largest:
        from benchmarks.largest import GB, largest

        _write(arguments.json, {"largest": largest(arguments.preset, arguments.largest * GB)})
        return 0
    wanted = lambda name: not arguments.only or any(part in name for part in arguments.only)  # noqa: E731
    work = [(case.name, lambda case=case: measure(case)) for case in CASES if wanted(case.name)]
    if arguments.imagined:
        from benchmarks import imagined

        work += [(c.name, lambda case=c: imagined.measure(case)) for c in imagined.CASES if wanted(c.name)]
    width = max((len(name) for name, _ in work), default=0)
    sys.stdout.write(
        f"{'MB (1e6 bytes)':<{width}} {'predicted':>10} {'measured':>10} {'error':>8}   by part of a step\n"
    )
    results = []
    for name, run in work:
        results.append(result := run())
        parts = ", ".join(f"{part} {100 * e:+.1f} %" for part, e in result["errors"].items())
        sys.stdout.write(
            f"{name:<{width}} {result['predicted'] / 1e6:>10.1f} {result['measured'] / 1e6:>10.1f} "
            f"{100 * result['error']:>+7.1f}%   {parts}\n"
        )
        sys.stdout.flush()
    worst = max((abs(r["error"]) for r in results), default=0.0)
    sys.stdout.write(f"largest error of {len(results)} settings: {100 * worst:.1f} %\n")
    _write(arguments.json, {"cases": results})
    return 0


def _write(path: Path | None, found: dict[str, Any]) -> None:
    if path is None:
        return
    from benchmarks.machine import facts, versions

    when = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = {"benchmark": "memory", "date": when, "machine": facts(), "versions": versions(), **found}
    path.write_text(json.dumps(whole, indent=2) + "\n", encoding="utf-8")


def measure(case: Case) -> dict[str, Any]:
    """Predicted and measured bytes of a case, whole and by part of a step. Starts its ranks, and waits for them."""
    with socket.socket() as free, tempfile.TemporaryDirectory() as folder:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
        free.close()
        ranks = []
        for rank in range(case.ranks):
            place = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(case.ranks)}
            place |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "BENCHMARK_OUTPUT": f"{folder}/{rank}.json"}
            command = [sys.executable, "-m", "benchmarks.memory", "--case", json.dumps(asdict(case))]
            ranks.append(subprocess.Popen(command, cwd=_ROOT, env={**os.environ, **place}, stdout=sys.stderr))
        while any(process.poll() is None for process in ranks):
            if any(process.poll() for process in ranks):  # the others would wait for it for half an hour
                for process in ranks:
                    process.kill()
            time.sleep(0.1)
        if any(process.returncode for process in ranks):
            raise SystemExit(f"{case.name}: a rank failed")
        found = [json.loads(Path(f"{folder}/{rank}.json").read_text(encoding="utf-8")) for rank in range(case.ranks)]
    measured = {name: max(f["measured"][name] for f in found) for name in _PASSES}
    predicted = found[0]["predicted"]
    whole, planned = max(measured.values()), max(predicted.values())
    return {
        "case": asdict(case),
        "parameters": found[0]["parameters"],
        "tokens": _SAMPLES * _LENGTH,
        "predicted": planned,
        "measured": whole,
        "error": planned / whole - 1,
        "predicted_by_part": predicted,
        "measured_by_part": measured,
        "errors": {name: predicted[name] / measured[name] - 1 for name in _PASSES},
        "plan": found[0]["plan"],
    }


def run_rank(case: Case) -> None:
    """One rank of a case: build, step, count, and write what was found to $BENCHMARK_OUTPUT."""
    import torch

    from benchmarks.allocations import meter
    from lingualift_ds import dist
    from lingualift_ds.engine.build import connect

    connect(dist.read_place())
    torch.set_num_threads(1)
    setup, model, batch = build_model(case)
    engine = _engine(case, model)
    batch = engine.to_device(batch)
    targets = 2 * case.ranks * _SAMPLES * _TARGET
    for _ in range(2):  # optimizer state and ZeRO-3's trace come with the first step
        measured = dict.fromkeys(_PASSES, 0)
        with meter(dist.device()) as bytes_:
            for last in (False, True):
                bytes_.restart_peak()
                loss = engine.forward(batch)
                measured["forward"] = max(measured["forward"], bytes_.peak)
                bytes_.restart_peak()
                engine.backward(loss, targets, last)
                del loss
                measured["backward"] = max(measured["backward"], bytes_.peak)
                bytes_.restart_peak()
                engine.step()
                measured["step"] = max(measured["step"], bytes_.peak)
    plan = plan_memory(setup)
    found = {
        "measured": measured,
        "predicted": {name: max(plan.moments[m].total for m in moments) for name, moments in _PASSES.items()},
        "parameters": {"llm": setup.llm.parameters, "encoder": setup.encoder.parameters},
        "plan": {moment: asdict(found) | {"total": found.total} for moment, found in plan.moments.items()},
    }
    Path(os.environ["BENCHMARK_OUTPUT"]).write_text(json.dumps(found), encoding="utf-8")
    # A process group that is left open to the end of the process can end it with an abort.
    engine.close()
    dist.disconnect()


def build_model(case: Case) -> tuple[Setup, Any, dict[str, Any]]:
    """(what the plan is told, the bridged model, a micro-batch) of a case, on this process's device."""
    from lingualift_ds import dist
    from lingualift_ds.train.stages import LINGUALIFT

    llm_config, encoder_config = _configs(case)
    trained = LINGUALIFT[case.stage].trains
    with dist.device():
        model, kernel = bridge(llm_config, encoder_config, case.precision, trained, case.recomputed)
    if case.sharding == "resident":
        for part in {"encoder", "llm"} - set(trained):
            model.make_resident(part)
    setup = Setup(
        llm=llm_shape(llm_config.to_dict(), "llm"),
        encoder=encoder_shape(encoder_config.to_dict(), "encoder"),
        trained=trained,
        zero=case.zero,
        zero_settings=case.zero_settings,
        sharding={part: case.sharding for part in ("encoder", "llm")},
        world_size=case.ranks,
        precision=case.precision,
        micro_tokens=_SAMPLES * _LENGTH,
        recomputed_layers=case.recomputed,
        target_share=_TARGET / _LENGTH,
        encoder_tokens=_SAMPLES * _TEXT,
        longest=_LENGTH,
        fused_attention=kernel in ("flash_attention_2", "varlen"),
    )
    return setup, model, random_batch(setup, _SAMPLES, _TEXT, _TARGET)


def bridge(
    llm_config: Any, encoder_config: Any, precision: str, trained: tuple[str, ...], recomputed: int
) -> tuple[Any, str]:
    """(a bridged model with random weights as a run would set it up, the kernel of the LLM's attention)."""
    import torch

    from lingualift_ds.config.schema import ModelConfig
    from lingualift_ds.model import llms, loss
    from lingualift_ds.model.alignment import AlignmentLayer
    from lingualift_ds.model.arrangement import arrange_encoder, arrange_llm, use
    from lingualift_ds.model.bridge import BridgedModel
    from lingualift_ds.model.encoders import build_encoder, let_pack
    from lingualift_ds.model.groups import freeze_all_but
    from lingualift_ds.model.loading import DTYPES

    torch.manual_seed(0)
    settings, dtype, usual = ModelConfig(llm="llm", precision=precision), DTYPES[precision], torch.get_default_dtype()
    llm, encoder = llms.build_llm(llm_config, dtype), build_encoder(encoder_config, dtype)
    torch.set_default_dtype(dtype)
    layer = AlignmentLayer(settings.alignment, encoder_config.hidden_size, llm_config.hidden_size)
    torch.set_default_dtype(usual)
    let_pack(encoder)
    arrangement = arrange_llm(settings, llm_config, True)[0]
    use(llm, arrangement)
    use(encoder, arrange_encoder(settings, encoder_config, True)[0])
    llms.checkpoint_activations(llm, recomputed)
    model = BridgedModel(llm, encoder, layer)
    model.fused_loss = loss.fuse_head(llm)
    freeze_all_but(model, trained)
    return model.train(), arrangement.kernel


def _engine(case: Case, model: Any) -> Any:
    """The toolkit's engine around the model. Needs a process group."""
    from lingualift_ds.config.batch import BatchPlan
    from lingualift_ds.config.ds_json import build_ds_config, with_linear
    from lingualift_ds.config.schema import ModelConfig, OptimizerConfig, StageConfig
    from lingualift_ds.engine.build import build_engine
    from lingualift_ds.model.groups import group_of

    settings = ModelConfig(llm="llm", precision=case.precision)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ds.json"
        path.write_text(json.dumps({"zero_optimization": case.zero_settings}), encoding="utf-8")
        stage = StageConfig(deepspeed=str(path), optimizer=OptimizerConfig(lr=1e-4))
        plan = BatchPlan(_SAMPLES, None, case.ranks, _SAMPLES * _LENGTH)
        ds_config = build_ds_config(settings, stage, plan)
    ds_config = with_linear(ds_config, sharded="llm" not in model.resident)
    engine = build_engine(model, group_of, stage.optimizer, ds_config, 10)
    engine.train(True)
    return engine


def _configs(case: Case) -> tuple[Any, Any]:
    """transformers configs of both models; at the standard width 25 M (LLM) and 17 M (encoder) parameters."""
    import transformers as hf

    width, words, heads = case.width, case.vocabulary, case.width // 64
    llm = dict(hidden_size=width, intermediate_size=8 * width // 3, num_hidden_layers=case.layers, vocab_size=words)
    half = max(1, heads // 2)
    extra = {"head_dim": 64} if case.llm == "gemma2" else {}
    kind = {"llama": hf.LlamaConfig, "qwen2": hf.Qwen2Config, "gemma2": hf.Gemma2Config, "mistral": hf.MistralConfig}
    llm_config = kind[case.llm](
        **llm, **extra, num_attention_heads=heads, num_key_value_heads=half, tie_word_embeddings=case.tied,
        pad_token_id=0,
    )  # fmt: skip
    depth = max(1, 3 * case.layers // 4)
    encoders = {
        "mt5": lambda: hf.MT5Config(
            vocab_size=words, d_model=width, d_kv=64, d_ff=8 * width // 3, num_layers=depth, num_heads=heads
        ),
        "xlm-roberta": lambda: hf.XLMRobertaConfig(
            **llm | {"num_hidden_layers": depth}, num_attention_heads=heads, type_vocab_size=1
        ),
        "m2m_100": lambda: hf.M2M100Config(
            vocab_size=words, d_model=width, encoder_layers=depth, encoder_ffn_dim=4 * width,
            encoder_attention_heads=heads, decoder_layers=1,
        ),
    }  # fmt: skip
    return llm_config, encoders[case.encoder]()


def random_batch(setup: Setup, count: int, text: int, target: int) -> dict[str, Any]:
    """A packed micro-batch of `count` samples of random ids: so many encoder tokens and target tokens in each."""
    import numpy as np

    from lingualift_ds.config.layout import prompt_layout
    from lingualift_ds.data.collate import BatchLayout, collate
    from lingualift_ds.data.tokenize import Sample

    draw, prompt = np.random.default_rng(0), prompt_layout(setup.alignment)
    soft = prompt.length(text)
    words = setup.encoder.vocabulary, setup.llm.vocabulary

    def ids(vocabulary: int, length: int) -> np.ndarray:
        return draw.integers(3, vocabulary, length, dtype=np.int32)

    rest = setup.micro_tokens // count - soft - target
    samples = [
        Sample(str(i), "en", ids(words[0], text), ids(words[1], rest), ids(words[1], target), soft)
        for i in range(count)
    ]
    return collate(samples, BatchLayout(llm_pad=0, has_bos=True, encoder_pad=0, prompt=prompt))


if __name__ == "__main__":
    end_process(main())
