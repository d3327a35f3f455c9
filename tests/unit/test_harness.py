"""`lingualift-ds evaluate`: its results folder, what a killed one leaves, and what is said where it cannot run."""

import argparse
import importlib.util
import json
import logging
import os
import signal
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import pytest
import tiny
from evaluated import results_of, save_bridged, write_questions
from launching import environment
from lm_eval.api.registry import get_model

from lingualift_ds.cli import lm_eval as lm_eval_command
from lingualift_ds.cli import main as command_line
from lingualift_ds.errors import ConfigError
from lingualift_ds.evaluate.answers import is_correct
from lingualift_ds.evaluate.harness.documents import FOLDER
from lingualift_ds.evaluate.harness.lm import LinguaLiftLM
from lingualift_ds.evaluate.harness.requests import Request
from lingualift_ds.evaluate.report.results import read_results

TASKS = ("jsonl", "xnli")


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    """A model, questions, and an evaluation of them that was never disturbed."""
    folder = tmp_path_factory.mktemp("evaluation")
    save_bridged(folder / "model")
    write_questions(folder / "data", sw=21, hi=9, en=4)
    assert evaluate(folder, folder / "whole") == 0
    return folder


def told(world: Path, output: Path, *more: str, model: str = "model") -> list[str]:
    """A command line; of options given twice the last one counts."""
    options = ["--model", str(world / model), "--tasks", ",".join(TASKS), "--data", str(world / "data")]
    return ["evaluate", *options, "--output", str(output), "--max-new-tokens", "12", "--batch-size", "4", *more]


def evaluate(world: Path, output: Path, *more: str, model: str = "model") -> int:
    return command_line.main(told(world, output, *more, model=model))


def test_the_results_folder_is_what_a_report_reads(world):
    results = read_results(world / "whole")
    assert (results.name, list(results.tasks), results.settings["dtype"]) == ("whole", [*TASKS], "float32")
    made, chosen = results.tasks["jsonl"], results.tasks["xnli"]
    assert (made.kind, chosen.kind, made.metric) == ("generate", "choice", "exact answer")
    assert {code: (of.level, of.n) for code, of in made.languages.items()} == {
        "en": ("high", 4), "hi": ("medium", 9), "sw": ("low", 21)
    }  # fmt: skip
    rows = read_rows(world / "whole/jsonl/sw.jsonl")
    assert [row["id"] for row in rows] == [f"q{n}" for n in range(21)]  # the benchmark's order, not that of lengths
    assert all(row["correct"] == is_correct(row["output"], "7") for row in rows)
    assert all(row["truncated"] == (row["new_tokens"] == 12) and row["encoder_tokens"] > 5 for row in rows)
    assert len({row["output"] for row in rows}) > 1 and {row["right_object"] for row in rows} == {False}
    for row in read_rows(world / "whole/xnli/sw.jsonl"):
        best = max(row["loglikelihoods"])
        assert row["output"] == row["given"] == row["choices"][row["loglikelihoods"].index(best)]
        assert row["correct"] == (row["output"] == row["answer"]) and len(row["choices"]) == 3


def read_rows(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_killed_evaluation_goes_on_and_ends_as_one_that_was_not(world, tmp_path, caplog, monkeypatch):
    answered = tmp_path / "answered/rank-0.jsonl"
    command = [sys.executable, "-m", "lingualift_ds.cli.main", *told(world, tmp_path)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, env=environment(), **quiet)
    limit = time.monotonic() + 120
    while not answered.is_file() or answered.read_bytes().count(b"\n") < 9:
        assert process.poll() is None and time.monotonic() < limit, "it ended before it could be killed"
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "results.json").exists()
    lines = answered.read_bytes().splitlines(keepends=True)
    answered.write_bytes(b"".join(lines[:-1]) + lines[-1][:30])  # as a power cut leaves it
    batches, answer = [], LinguaLiftLM._generated
    monkeypatch.setattr(LinguaLiftLM, "_generated", lambda lm, batch: batches.append(batch) or answer(lm, batch))
    monkeypatch.setattr(logging.getLogger("lingualift_ds"), "propagate", True)
    assert evaluate(world, tmp_path) == 0
    assert f"rank-0.jsonl:{len(lines)}: is damaged" in caplog.text
    assert results_of(tmp_path) == results_of(world / "whole")
    assert 0 < len(batches) < 10  # 21, 9 and 4 problems make ten batches of up to 4
    batches.clear()
    assert evaluate(world, tmp_path) == 0  # a finished one asks nothing
    assert not batches and results_of(tmp_path) == results_of(world / "whole")


def test_answers_of_another_model_or_setting_are_never_mixed(world, tmp_path, capsys):
    save_bridged(tmp_path / "model", llm="mistral")
    assert evaluate(world, world / "whole", "--max-new-tokens", "13") == 2
    assert "holds an evaluation with max_new_tokens 12, not 13; choose another --output" in capsys.readouterr().err
    assert evaluate(world, world / "whole", model=str(tmp_path / "model")) == 2
    assert "holds an evaluation with model '" in capsys.readouterr().err


def test_tasks_and_languages_can_come_one_after_the_other(world, tmp_path):
    assert evaluate(world, tmp_path, "--tasks", "xnli", "--languages", "sw") == 0
    assert evaluate(world, tmp_path, "--tasks", "xnli", "--languages", "en,hi") == 0
    assert evaluate(world, tmp_path, "--tasks", "jsonl") == 0
    mine, whole = results_of(tmp_path), results_of(world / "whole")
    assert json.loads(mine.pop("tasks")) == json.loads(whole.pop("tasks")) and mine == whole


def test_a_plain_llm_is_asked_with_question_and_instruction_in_one_text(world, tmp_path):
    tiny.save_llm(world / "llm")
    assert evaluate(world, tmp_path, "--limit", "2", model="llm") == 0
    results = read_results(tmp_path)
    assert {of.n for task in results.tasks.values() for of in task.languages.values()} == {2}
    assert all(row.encoder_tokens is None for row in results.tasks["jsonl"].languages["sw"].rows.values())
    lm = LinguaLiftLM(world / "llm")
    sample = lm.way.samples([Request("t", 0, 0, "How many?", "Say:", None, (("max_gen_toks", 3),))], {})[0]
    assert lm.plain.tokenizer.decode(sample.prompt_ids) == "How many?\nSay:"
    sample = lm.way.samples([Request("t", 0, 0, "How many?", "Say:", "Seven")], {})[0]
    assert lm.plain.tokenizer.decode(sample.target_ids) == " Seven"


def test_a_question_that_cannot_be_told_from_its_instruction_is_refused(world, tmp_path, capsys):
    (tmp_path / "sw.jsonl").write_text(json.dumps({"text": "Ann\x1ehas?", "answer": 1}) + "\n")
    assert evaluate(world, tmp_path / "o", "--tasks", "jsonl", "--data", f"jsonl={tmp_path}") == 2
    assert "U+001E cannot be asked: 'Ann\\x1ehas?'" in capsys.readouterr().err


WRONG = {
    "an unknown task": (["--tasks", "mgms"], "task 'mgms': unknown; the tasks are"),
    "no task": (["--tasks", ","], "--tasks: names no task"),
    "no data": (["--data", "{w}/nowhere"], "nowhere: no such folder"),
    "data of a task that is not asked": (["--data", "mgsm={w}/data"], "'mgsm' is none of --tasks jsonl"),
    "data of two": (["--data", "{w}", "--data", "{w}/data"], "one folder serves all tasks"),
    "no such language": (["--languages", "zu"], "has no 'zu'"),
    "no model": (["--model", "{w}/nowhere"], "nowhere: no such folder"),
    "a folder without a model": (["--model", "{w}/data"], "holds no model"),
    "no batch": (["--batch-size", "0"], "--batch-size 0: must be at least 1"),
    "no limit": (["--limit", "0"], "limit 0: at least 1"),
    "an output that cannot be": (["--output", "/proc/nowhere/x"], "cannot be written"),
    "an output full of something else": (["--output", "{w}/model"], "is not empty and holds no evaluation"),
    "languages that are none": (["--languages", ","], "--languages: names no language"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_evaluated_is_one_line_before_any_model_is_loaded(world, tmp_path, capsys, monkeypatch, case):
    wrong, message = WRONG[case]
    options = {"--model": str(world / "model"), "--tasks": "jsonl", "--output": str(tmp_path / "o")}
    wrong = [word.format(w=world) for word in wrong]
    if "--data" not in wrong:
        options["--data"] = str(world / "data")
    argv = [word for pair in options.items() if pair[0] not in wrong for word in pair] + wrong
    monkeypatch.setattr(
        "lingualift_ds.evaluate.harness.lm.load_model", lambda *a, **o: pytest.fail("a model was loaded")
    )
    assert command_line.main(["evaluate", *argv]) == 2
    said = capsys.readouterr().err.strip()
    assert message in said and said.count("\n") == 0


def test_arguments_and_tasks_that_are_none_are_said_in_a_line(world, capsys):
    with pytest.raises(ConfigError, match="--model_args: foo: no such argument; there are pretrained"):
        LinguaLiftLM(world / "model", foo=1)
    with pytest.raises(ConfigError, match="--model_args: pretrained=DIR is needed"):
        LinguaLiftLM(prompt="plain")
    assert command_line.main(["lm-eval", "--model", "lingualift", "--metadata", "{data", "--tasks", "x"]) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("error: lm-eval: ")


def test_without_lm_eval_it_says_what_to_install(world, tmp_path, capsys, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "lm_eval" else find(name, *a))
    assert evaluate(world, tmp_path) == 2
    assert "pip install 'lingualift_ds[eval]'" in capsys.readouterr().err


def test_lm_evals_own_command_line_takes_our_model_and_our_tasks(world, tmp_path):
    """Plain `lm_eval`, where the environment was made by launch/setup.sh; elsewhere with our package imported first."""
    told = list(Path(sysconfig.get_path("purelib")).glob("lingualift_ds_models.pth"))
    first = "" if told else "import lingualift_ds; "
    code = f"{first}import sys; from lm_eval.__main__ import cli_evaluate; sys.exit(cli_evaluate())"
    options = ["--model", "lingualift", "--model_args", f"pretrained={world / 'model'}", "--tasks", "lingualift_jsonl"]
    options += ["--include_path", str(FOLDER)]
    options += ["--metadata", json.dumps({"data": str(world / "data"), "max_new_tokens": 12}), "--batch_size", "4"]
    done = subprocess.run(
        [sys.executable, "-c", code, *options, "--output_path", str(tmp_path), "--log_samples"],
        env=environment() | {"HF_HUB_OFFLINE": "1"}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    results = json.loads(next(tmp_path.rglob("results_*.json")).read_text())["results"]["lingualift_jsonl"]
    ours = json.loads((world / "whole/results.json").read_text())["tasks"]["jsonl"]["languages"]
    shares = {code: of["correct"] for code, of in ours.items()}
    assert {code: results[f"exact_answer_{code},none"] for code in shares} == shares
    assert results["exact_answer_LR,none"] == shares["sw"]
    assert results["exact_answer,none"] == pytest.approx(sum(shares.values()) / 3)
    samples = read_rows(next(tmp_path.rglob("samples_*.jsonl")))
    written = {(s["doc"]["language"], s["doc"]["id"]): s["resps"][0][0].strip() for s in samples}
    assert written == {
        (row["language"], row["id"]): row["output"]
        for path in (world / "whole/jsonl").iterdir() for row in read_rows(path)
    }  # fmt: skip


def test_our_lm_eval_command_brings_model_and_tasks(monkeypatch):
    seen = []
    monkeypatch.setattr("lm_eval.__main__.cli_evaluate", lambda: seen.append(sys.argv[1:]))
    monkeypatch.setattr(sys, "argv", list(sys.argv))
    parser = argparse.ArgumentParser()
    lm_eval_command.add_parser(parser.add_subparsers())
    arguments = parser.parse_args(["lm-eval", "--model", "lingualift", "--tasks", "lingualift_mgsm"])
    assert arguments.run(arguments) == 0
    folder = seen[0][seen[0].index("--include_path") + 1]
    assert seen[0][:2] == ["--model", "lingualift"] and os.path.isfile(f"{folder}/mgsm.yaml")
    assert get_model("lingualift").__name__ == "LinguaLiftLM"
