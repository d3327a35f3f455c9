"""Our benchmarks as tasks of lm-evaluation-harness: local files in, exact answers out.

A task of a benchmark holds all its languages, and reports each: `exact_answer` is the mean over the languages,
`exact_answer_LR`, `_MR`, `_HR` over those of a resource level, `exact_answer_sw` that of a language. lm-eval's
`--metadata` says where the files are: {"data": DIR or {benchmark: DIR}, "languages": [...], "limit": N a language}.

The files tasks/*.yaml only name the tasks; all else is said here once.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from datasets import Dataset
from lm_eval.api.metrics import mean
from lm_eval.api.task import ConfigurableTask

from lingualift_ds.errors import ConfigError, DataError
from lingualift_ds.evaluate.answers import is_correct
from lingualift_ds.evaluate.benchmarks import TASKS, Question, load_benchmark
from lingualift_ds.evaluate.harness.requests import marked
from lingualift_ds.evaluate.levels import resource_levels

PREFIX = "lingualift_"
"""Of our tasks' names: lm-eval has an mgsm and an xnli of its own."""
FOLDER = Path(__file__).with_name("tasks")
"""For lm-eval's `--include_path`."""

_METRIC = "exact_answer"
_LEVELS = {"low": "LR", "medium": "MR", "high": "HR"}


class BenchmarkTask(ConfigurableTask):
    """One benchmark in all its languages. Raises ConfigError, DataError as `load_benchmark`."""

    def __init__(self, config: Mapping[str, Any]):
        self.benchmark = config["task"].removeprefix(PREFIX)
        about = dict(config.get("metadata") or {})
        choice = TASKS[self.benchmark].kind == "choice"
        asked = {"output_type": "multiple_choice", "doc_to_choice": _choices, "target_delimiter": ""}
        if not choice:
            longest = {"max_gen_toks": about["max_new_tokens"]} if "max_new_tokens" in about else {}
            asked = {"output_type": "generate_until", "generation_kwargs": {"until": [], "do_sample": False} | longest}
        super().__init__(
            config={
                "task": config["task"],
                "test_split": "test",
                "num_fewshot": 0,  # stated, so that --num_fewshot changes nothing: the prompt has no place for more
                "doc_to_text": _prompt,
                "doc_to_target": _gold if choice else "answer",
                "process_results": _results,
                "metric_list": [{"metric": _METRIC, "aggregation": _over_languages, "higher_is_better": True}],
                "metadata": {"version": 1.0} | about,
                **asked,
            }
        )

    def download(self, dataset_kwargs: dict[str, Any] | None = None, **others: Any) -> None:
        """The questions, from local files."""
        about = self.config.metadata
        if "data" not in about:
            raise ConfigError(f'task {self.config.task}: say where its files are: --metadata \'{{"data": "DIR"}}\'')
        folder = data_folder(about["data"], self.benchmark)
        languages = about.get("languages")
        languages = languages.split(",") if isinstance(languages, str) else languages
        questions = load_benchmark(self.benchmark, folder, languages, about.get("limit"))
        self.dataset = {"test": Dataset.from_list(documents(questions, resource_levels(folder, list(questions))))}

    def aggregation(self) -> dict[str, Any]:
        """How each metric's values become one number."""
        codes = sorted(set(self.dataset["test"]["language"]))
        return super().aggregation() | {
            **{f"{_METRIC}_{level}": _over_languages for level in _LEVELS.values()},
            **{f"{_METRIC}_{code}": mean for code in codes},
        }

    def higher_is_better(self) -> dict[str, bool]:
        """Of every metric."""
        return dict.fromkeys(self.aggregation(), True)


def data_folder(told: str | Path | Mapping[str, str | Path], benchmark: str) -> Path:
    """A benchmark's folder: the one told for it, or that of its name in a folder of all, or that folder. Raises
    ConfigError where none is told."""
    if isinstance(told, Mapping):
        if benchmark not in told:
            raise ConfigError(f"task {benchmark}: no folder of data is named for it")
        return Path(told[benchmark])
    inner = Path(told) / benchmark
    return inner if inner.is_dir() else Path(told)


def documents(questions: Mapping[str, Sequence[Question]], levels: Mapping[str, str | None]) -> list[dict[str, Any]]:
    """Questions as lm-eval's documents, the languages in turn, so that its `--limit` takes some of each.

    Raises DataError for one that cannot be asked, see `requests.marked`.
    """
    for question in (question for of_language in questions.values() for question in of_language):
        marked(question.text, question.instruction)
    longest = max(map(len, questions.values()))
    return [
        {
            "id": question.id,
            "language": code,
            "level": levels.get(code),
            "text": question.text,
            "instruction": question.instruction,
            "answer": question.answer,
            "object": question.object,
            "choices": list(question.choices),
        }
        for nth in range(longest)
        for code, of_language in questions.items()
        for question in of_language[nth : nth + 1]
    ]


def chosen(document: Mapping[str, Any], loglikelihoods: Sequence[float]) -> str:
    """The likeliest choice."""
    return document["choices"][max(range(len(loglikelihoods)), key=loglikelihoods.__getitem__)]


def _prompt(document: Mapping[str, Any]) -> str:
    return marked(document["text"], document["instruction"])


def _choices(document: Mapping[str, Any]) -> list[str]:
    return document["choices"]


def _gold(document: Mapping[str, Any]) -> int:
    if document["answer"] not in document["choices"]:
        where = f"question {document['id']} of {document['language']}"
        raise DataError(f"{where}: the answer {document['answer']!r} is none of {', '.join(document['choices'])}")
    return document["choices"].index(document["answer"])


def _results(document: Mapping[str, Any], results: Sequence[Any]) -> dict[str, Any]:
    """The metrics of one document, from its text or its choices' (log-likelihood, greedy)."""
    if document["choices"]:
        correct = float(chosen(document, [value for value, _ in results]) == document["answer"])
    else:
        correct = float(is_correct(results[0], document["answer"]))
    code, level = document["language"], _LEVELS.get(document["level"])
    of_level = {f"{_METRIC}_{level}": (code, correct)} if level else {}
    return {_METRIC: (code, correct), **of_level, f"{_METRIC}_{code}": correct}


def _over_languages(values: Sequence[tuple[str, float]]) -> float:
    """The mean over languages of each one's mean."""
    of: dict[str, list[float]] = {}
    for code, correct in values:
        of.setdefault(code, []).append(correct)
    return mean([mean(correct) for correct in of.values()])
