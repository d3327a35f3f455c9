"""An evaluation from its settings to its results folder: lm-evaluation-harness asks, this writes down.

OUT/results.json        shares per task and language, with settings and versions
OUT/TASK/CODE.jsonl     a row a question, in the benchmark's order
OUT/evaluation.json, OUT/answered/     what a killed evaluation goes on from, see `answered`

Several evaluations of the same model with the same settings may share a folder, one after the other: each adds its
tasks and languages.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from lm_eval import evaluate as lm_evaluate
from lm_eval.tasks import TaskManager

from lingualift_ds import dist
from lingualift_ds.checkpoint.manifest import versions
from lingualift_ds.data.atomic import write_aside
from lingualift_ds.data.jsonl import write_jsonl
from lingualift_ds.data.lock import turn
from lingualift_ds.errors import DataError
from lingualift_ds.evaluate.benchmarks import TASKS
from lingualift_ds.evaluate.harness.answered import Answered
from lingualift_ds.evaluate.harness.documents import FOLDER, PREFIX, chosen
from lingualift_ds.evaluate.harness.lm import LinguaLiftLM
from lingualift_ds.evaluate.harness.scores import chosen_row, generated_row, summarise
from lingualift_ds.hub.folders import identity
from lingualift_ds.log import capture_libraries, get_logger, log_to

logger = get_logger("evaluate")

FORMAT = 1
METRICS = {"generate": "exact answer", "choice": "right label"}
"""Kind of task: what is counted."""


@dataclass(frozen=True)
class Plan:
    """What is evaluated, and how.

    Attributes:
        model: folder as given; of a bridged model, or of any causal LM, which is asked in plain text.
        data: task -> folder of its files; the tasks are its keys.
        output: the results folder.
        name: what the model is called in reports.
        languages: codes; None: all there are.
        limit: most questions a language.
        batch_size: questions (or choices) at a time, a process.
        max_new_tokens: longest answer.
    """

    model: str
    data: Mapping[str, Path]
    output: Path
    name: str
    languages: Sequence[str] | None = None
    limit: int | None = None
    batch_size: int = 32
    max_new_tokens: int = 256

    @property
    def metadata(self) -> dict[str, Any]:
        """What our tasks read, see `documents`."""
        told = {"languages": list(self.languages or ()) or None, "limit": self.limit}
        told |= {"data": {task: str(folder) for task, folder in self.data.items()}}
        return {"max_new_tokens": self.max_new_tokens} | {key: value for key, value in told.items() if value}


def evaluate(plan: Plan) -> dict[str, Any]:
    """Ask everything, write the results folder, return what results.json says. Collective under a launcher.

    Raises ConfigError, DataError, CheckpointError, ModelError.
    """
    _silence()
    dist.HERE.move("asking")
    manager = TaskManager(include_path=str(FOLDER), include_defaults=False, metadata=plan.metadata)
    loaded = manager.load([PREFIX + task for task in plan.data])
    lm = LinguaLiftLM(plan.model, batch_size=plan.batch_size, max_gen_toks=plan.max_new_tokens)
    with ExitStack() as stack:
        dist.on_main(lambda: _take(plan.output, stack), at_length=True)
        return _evaluate(plan, loaded, lm)


def _take(output: Path, stack: ExitStack) -> None:
    """Wait until no other evaluation writes to the folder, and keep others out."""
    stack.enter_context(turn(output / ".lock", f"another evaluation into {output}"))


def _evaluate(plan: Plan, loaded: Mapping[str, Any], lm: LinguaLiftLM) -> dict[str, Any]:
    settings = {
        "max_new_tokens": plan.max_new_tokens,
        "batch_size": plan.batch_size,
        "limit": plan.limit,
        "dtype": lm.dtype,
    }
    model = dist.on_main(lambda: identity(plan.model), at_length=True)
    # Of a batch's size answers depend by rounding alone; who ran out of memory must be able to lower it and go on.
    decisive = {name: value for name, value in settings.items() if name != "batch_size"}
    lm.answered = Answered(plan.output, {"model": model, **decisive, "transformers": version("transformers")})
    if dist.read_place().world_size > 1:
        log_to(plan.output / "logs")
    # Not simple_evaluate: it also asks the machine about itself, for seconds, and seeds what is not random.
    found = lm_evaluate(lm, loaded, bootstrap_iters=0)
    rows = {task: _rows(PREFIX + task, found["samples"][PREFIX + task], lm) for task in plan.data}
    levels = {t: {s["doc"]["language"]: s["doc"]["level"] for s in found["samples"][PREFIX + t]} for t in plan.data}
    for task, of_task in levels.items():
        if without := [code for code, level in of_task.items() if level is None]:
            logger.info("%s: of no known resource level, and in no mean of one: %s", task, ", ".join(without))
    return dist.on_main(lambda: _write(plan, settings, rows, levels))


def _rows(task: str, samples: Sequence[Mapping[str, Any]], lm: LinguaLiftLM) -> dict[str, list[dict[str, Any]]]:
    """Rows by language, in the benchmark's order."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for sample in sorted(samples, key=lambda sample: sample["doc_id"]):
        document, correct = sample["doc"], sample["exact_answer"][1] == 1.0
        answers = [lm.answers[task, sample["doc_id"], index] for index in range(len(sample["resps"]))]
        if document["choices"]:
            label = chosen(document, [answer["loglikelihood"] for answer in answers])
            row = chosen_row(document, label, answers, correct)
        else:
            row = generated_row(document, answers[0], correct)
        rows.setdefault(document["language"], []).append(row)
    return rows


def _write(
    plan: Plan,
    settings: dict[str, Any],
    rows: Mapping[str, Mapping[str, list[dict[str, Any]]]],
    levels: Mapping[str, Mapping[str, str | None]],
) -> dict[str, Any]:
    path = plan.output / "results.json"
    tasks = read_tasks(path)
    for task, languages in rows.items():
        for code, of_language in languages.items():
            write_jsonl(plan.output / task / f"{code}.jsonl", of_language)
        kind, before = TASKS[task].kind, tasks.get(task, {}).get("languages", {})
        now = {code: summarise(of_language, levels[task][code]) for code, of_language in languages.items()}
        tasks[task] = {"kind": kind, "metric": METRICS[kind], "languages": dict(sorted((before | now).items()))}
    results = {
        "format": FORMAT,
        "name": plan.name,
        "model": plan.model,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": versions() | {"lm_eval": version("lm_eval")},
        "settings": settings,
        "tasks": tasks,
    }
    write_aside(path, json.dumps(results, indent=2, ensure_ascii=False) + "\n")
    return results


def read_tasks(path: Path) -> dict[str, Any]:
    """The tasks of an earlier results.json; none where there is none. Raises DataError for a damaged one."""
    if not path.is_file():
        return {}
    try:
        return dict(json.loads(path.read_text(encoding="utf-8"))["tasks"])
    except (ValueError, KeyError, TypeError):
        raise DataError(f"{path}: is damaged; remove it: the answers it was made of are kept") from None


def _silence() -> None:
    """Keep to ourselves what lm-eval says of tasks, contexts and defaults."""
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    if dist.read_place().world_size > 1:
        capture_libraries()
