"""What is asked of a model: a text for the encoder, an instruction for the LLM, out of lm-eval's one string.

LinguaLIFT's prompt has two parts, lm-eval's requests have one context. Our own tasks write both into it, with MARK
between them. A context without MARK is another task's: it is the text, and the LLM is told what it was trained with.
"""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from lingualift_ds.errors import ConfigError, DataError

MARK = "\x1e"
"""ASCII's record separator: between the text and the instruction."""


@dataclass(frozen=True)
class Request:
    """One request to the model.

    Attributes:
        task, document, index: lm-eval's name of the task, number of the document, and which of its requests it is.
        text: what the encoder reads.
        instruction: what the LLM is told; None: what the model was trained with.
        continuation: what is scored; None where text is generated.
        settings: how text is generated.
        language, id: of the question, where its document says so.
    """

    task: str
    document: int
    index: int
    text: str
    instruction: str | None
    continuation: str | None = None
    settings: tuple[tuple[str, Any], ...] = ()
    language: str | None = None
    id: str | None = None

    @classmethod
    def of(cls, instance: Any, settings: dict[str, Any] | None = None) -> "Request":
        """From an `lm_eval.api.instance.Instance`: of generation with `settings`, else of a log-likelihood.

        Raises ConfigError for a context with more than one MARK: examples before the question have no place in the
        prompt.
        """
        context, argument = instance.args[:2]
        about = {k: v for k, v in instance.doc.items() if isinstance(v, str)} if isinstance(instance.doc, dict) else {}
        text, mark, instruction = context.partition(MARK)
        if MARK in instruction:
            raise ConfigError(f"task {instance.task_name}: few-shot examples have no place in LinguaLIFT's prompt")
        return cls(
            task=instance.task_name or "",
            document=instance.doc_id or 0,
            index=instance.idx,
            text=text,
            instruction=instruction if mark else None,
            continuation=argument if settings is None else None,
            settings=tuple(sorted((settings or {}).items())),
            language=about.get("language"),
            id=about.get("id"),
        )

    @property
    def name(self) -> str:
        """For messages."""
        return f"task {self.task}, document {self.document}"

    def key(self, identity: dict[str, Any]) -> str:
        """SHA-256 over everything that an answer depends on, and which question it answers. `identity`: the model and
        how it is asked."""
        question = [self.language, self.document if self.id is None else self.id, self.index]
        said = [identity, self.task, question, self.text, self.instruction, self.continuation, self.settings]
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def marked(text: str, instruction: str) -> str:
    """Text and instruction as one context. Raises DataError where they hold MARK themselves."""
    if MARK in text or MARK in instruction:
        raise DataError(f"a question with the control character U+001E cannot be asked: {text[:60]!r}")
    return f"{text}{MARK}{instruction}"
