"""A trained model as lm-evaluation-harness knows models: `--model lingualift --model_args pretrained=DIR`.

Our own tasks ask with text and instruction (see `requests`). Of any other task the context is the text, which the
encoder reads whole, and the LLM is told what it was trained with, or `instruction=...`. `prompt=plain` gives the text
to the LLM alone, as a base LLM is asked; folders of other models that transformers knows are always asked so. What
has no text (a log-likelihood of an empty context, a rolling one) is the LLM's alone as well.

Under a launcher each process answers a share and gets the answers of all. lm-eval is told of one process: it would
split the documents before they are sorted by length, and fail where a rank has none.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

import torch
from lm_eval.api.instance import Instance
from lm_eval.api.model import LM
from lm_eval.api.registry import register_model
from lm_eval.models.utils import normalize_gen_kwargs
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

from lingualift_ds import dist
from lingualift_ds.data.tokenize import Sample
from lingualift_ds.errors import ConfigError, ModelError
from lingualift_ds.evaluate.harness.answered import Answered
from lingualift_ds.evaluate.harness.asking import Bridged, Plain, Way, loglikelihoods
from lingualift_ds.evaluate.harness.requests import Request
from lingualift_ds.hub import load_model
from lingualift_ds.hub.folders import find_folder, is_ours, read_described
from lingualift_ds.log import Progress, get_logger

logger = get_logger("evaluate")

_BATCH_SIZE = 32
_ROUND = 16
"""Batches a rank answers before all exchange theirs: seldom enough to cost nothing, often enough for no timeout."""


@dataclass(frozen=True)
class _Job:
    """One sample to run: its request, where its answer goes on disk, and how it is asked."""

    request: Request
    key: str
    way: Way
    sample: Sample

    @property
    def group(self) -> tuple:
        """Jobs of a group can share a batch: of one language, so that its answers do not hang on which others there
        are."""
        return self.request.task, self.request.language, repr(self.request.settings), id(self.way)


@register_model("lingualift")
class LinguaLiftLM(LM):
    """lm-eval's interface to a trained model, or to an LLM by itself.

    Attributes:
        answers: (task, number of the document, index of the request) -> what came of it: of generation `text`,
            `finished`, `tokens`, else `loglikelihood`, `greedy`; and `encoder_tokens`.
    """

    def __init__(
        self,
        pretrained: str | Path | None = None,
        instruction: str | None = None,
        prompt: str | None = None,
        batch_size: int | str = _BATCH_SIZE,
        max_batch_size: int | None = None,
        device: str | None = None,
        max_gen_toks: int = 256,
        **others: Any,
    ):
        """Arguments as lm-eval's `--model_args` and options give them; `batch_size` auto is 32, and a `device` other
        than cpu this process's GPU, where there is one.

        Raises ConfigError for an argument that cannot be meant, CheckpointError and ModelError as `load_model`.
        """
        super().__init__()
        if pretrained is None or others:
            said = f"{', '.join(others)}: no such argument" if others else "pretrained=DIR is needed"
            raise ConfigError(f"--model_args: {said}; there are pretrained, instruction, prompt, max_gen_toks")
        self.batch_size = _count("batch_size", _BATCH_SIZE if batch_size == "auto" else batch_size)
        self.max_gen_toks = _count("max_gen_toks", max_gen_toks)
        if prompt not in (None, "lingualift", "plain"):
            raise ConfigError(f"prompt {prompt!r}: must be lingualift or plain")
        bridged = is_ours(read_described(find_folder(pretrained)))
        if prompt == "lingualift" and not bridged:
            raise ModelError(f"{pretrained}: is no bridged model; it can be asked with prompt=plain only")
        if (place := dist.read_place()).world_size > 1:
            dist.connect(place)
        model = load_model(pretrained)
        if device == "cpu":  # lm-eval says cuda:0 where nothing is said; this process's own GPU, or none, is meant
            model.to(device)
        alone, tokenizer = model.llm, model.processor.llm
        alone.generation_config = model.generation_config  # what a base model samples by is not ours
        most = getattr(alone.config.get_text_config(), "max_position_embeddings", None) or 2048
        self.plain = Plain(alone, tokenizer, most, instruction)
        self.way: Way = Bridged(model, instruction) if bridged and prompt != "plain" else self.plain
        self.dtype = str(alone.dtype).removeprefix("torch.")
        self._device = alone.device
        self.answered: Answered | None = None
        self.answers: dict[tuple[str, int, int], dict[str, Any]] = {}

    @property
    def tokenizer_name(self) -> str:
        """The LLM's tokenizer, for lm-eval's caches of requests."""
        return str(self.plain.tokenizer.name_or_path)

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """Texts, cut before the first of the task's `until`; greedy, unless the task says how to draw."""
        asked = [Request.of(instance, _settings(instance.args[1], self.max_gen_toks)) for instance in requests]
        answers = self._answer(self._jobs(asked), self._generated)
        self._remember(asked, answers)
        return [answer["text"] for answer in answers]

    def loglikelihood(self, requests: list[Instance], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        """Of each continuation the log-probability in nats, summed over its tokens, and whether it is the likeliest."""
        asked = [Request.of(instance) for instance in requests]
        answers = self._answer(self._jobs(asked), self._scored)
        self._remember(asked, answers)
        return [(answer["loglikelihood"], answer["greedy"]) for answer in answers]

    def loglikelihood_rolling(self, requests: list[Instance], disable_tqdm: bool = False) -> list[float]:
        """Log-probabilities of whole texts by the LLM alone, in windows of what it can read."""
        jobs, owners, plain = [], [], self.plain
        for owner, instance in enumerate(requests):
            ids = plain.tokenizer(instance.args[0])["input_ids"]
            for index, window in enumerate(get_rolling_token_windows(ids, plain.first_id, plain.max_length, 1)):
                request = Request(instance.task_name or "", instance.doc_id or 0, index, instance.args[0], None, "")
                sample = plain.sample(*make_disjoint_window(window))
                jobs.append(_Job(request, request.key(self._identity), plain, sample))
                owners.append(owner)
        sums = [0.0] * len(requests)
        for owner, answer in zip(owners, self._answer(jobs, self._scored)):
            sums[owner] += answer["loglikelihood"]
        return sums

    @property
    def _identity(self) -> dict[str, Any]:
        return self.answered.identity if self.answered else {}

    def _jobs(self, asked: Sequence[Request]) -> list[_Job]:
        """In the order of the requests, all tokenized."""
        ways = [self.way if request.text.strip() else self.plain for request in asked]
        counts: dict[str, Counter] = defaultdict(Counter)
        samples: dict[int, Sample] = {}
        for way in {id(way): way for way in ways}.values():
            for task in dict.fromkeys(request.task for request in asked):
                mine = [n for n, request in enumerate(asked) if ways[n] is way and request.task == task]
                samples.update(zip(mine, way.samples([asked[n] for n in mine], counts[task])))
        for task, reasons in counts.items():
            for reason, count in reasons.items():
                logger.warning("%s: %s: %d", task, reason, count)
        return [_Job(request, request.key(self._identity), ways[n], samples[n]) for n, request in enumerate(asked)]

    def _answer(
        self, jobs: Sequence[_Job], run: Callable[[Sequence[_Job]], list[dict[str, Any]]]
    ) -> list[dict[str, Any]]:
        """Answers in the order of the jobs, on every rank. Collective.

        What shares a batch depends neither on the ranks nor on what was answered before, and so no answer does.
        """
        answers: dict[int, dict[str, Any]] = {}
        batches = []
        for batch in _batches(jobs, self.batch_size):
            found = [self.answered.get(jobs[n].key) if self.answered else None for n in batch]
            if all(found):
                answers.update(zip(batch, found))
            else:
                batches.append(batch)
        rank, ranks = dist.read_place().rank, dist.read_place().world_size
        with Progress("evaluate", len(jobs), "requests", done=len(answers)) as progress:
            for start in range(0, len(batches), _ROUND * ranks):
                done: dict[int, dict[str, Any]] = {}
                for first in range(start, min(start + _ROUND * ranks, len(batches)), ranks):
                    side_by_side = batches[first : first + ranks]
                    for batch in side_by_side[rank : rank + 1]:
                        made = self._run(run, [jobs[n] for n in batch])
                        dist.HERE.move()
                        if self.answered:
                            self.answered.add((jobs[n].key, answer) for n, answer in zip(batch, made))
                        done.update(zip(batch, made))
                    progress.advance(sum(map(len, side_by_side)))
                for theirs in dist.gather(done):
                    answers.update(theirs)
        return [answers[n] for n in range(len(jobs))]

    def _run(self, run: Callable[[Sequence[_Job]], list[dict[str, Any]]], batch: Sequence[_Job]) -> list[dict]:
        try:
            return run(batch)
        except torch.OutOfMemoryError:
            raise ModelError(
                f"the GPU's memory does not hold {len(batch)} questions at a time; lower --batch-size"
            ) from None

    def _generated(self, batch: Sequence[_Job]) -> list[dict[str, Any]]:
        way, options = batch[0].way, dict(batch[0].request.settings)
        until = options.pop("until")
        ids = way.generate([job.sample for job in batch], until, max_new_tokens=options.pop("max_gen_toks"), **options)
        return [
            _read(row, until, way) | {"encoder_tokens": len(job.sample.encoder_ids) or None}
            for row, job in zip(ids.tolist(), batch)
        ]

    def _scored(self, batch: Sequence[_Job]) -> list[dict[str, Any]]:
        scores = loglikelihoods(batch[0].way, [job.sample for job in batch])
        return [
            {"loglikelihood": sum_, "greedy": greedy, "encoder_tokens": len(job.sample.encoder_ids) or None}
            for (sum_, greedy), job in zip(scores, batch)
        ]

    def _remember(self, asked: Sequence[Request], answers: Sequence[dict[str, Any]]) -> None:
        for request, answer in zip(asked, answers):
            self.answers[request.task, request.document, request.index] = answer


def _batches(jobs: Sequence[_Job], size: int) -> Iterator[list[int]]:
    """Places of jobs that run together: of one group, the longest first, so that what does not fit shows at once."""
    groups: dict[tuple, list[int]] = defaultdict(list)
    for place, job in enumerate(jobs):
        groups[job.group].append(place)
    for places in groups.values():
        places.sort(key=lambda place: (-jobs[place].sample.llm_length, place))
        for first in range(0, len(places), size):
            yield places[first : first + size]


def _settings(told: dict[str, Any], max_gen_toks: int) -> dict[str, Any]:
    """How a task wants its texts generated, in transformers' words but for `until` and `max_gen_toks`."""
    settings = dict(normalize_gen_kwargs(told, max_gen_toks))
    if not settings["do_sample"]:
        settings.pop("temperature", None)
    settings["until"] = tuple(string for string in settings["until"] if string)
    return settings


def _read(ids: list[int], until: Sequence[str], way: Way) -> dict[str, Any]:
    """Generated ids as text, cut before what ended it. `finished`: it ended by itself."""
    kept = [*takewhile(lambda token: token not in way.ends, ids)]
    ended = len(kept) < len(ids)
    text = way.tokenizer.decode(kept, skip_special_tokens=True)
    ends = [text.index(string) for string in until if string in text]
    return {"text": text[: min(ends)] if ends else text, "finished": ended or bool(ends), "tokens": len(kept)}


def _count(name: str, value: int | str) -> int:
    try:
        number = int(value)
    except (TypeError, ValueError):
        number = 0
    if number < 1:
        raise ConfigError(f"{name} {value!r}: must be a number of at least 1")
    return number
