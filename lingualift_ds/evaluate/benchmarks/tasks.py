"""The benchmarks, as data: how their files are named and how a row becomes a question."""

from collections.abc import Mapping
from itertools import zip_longest

from lingualift_ds.data.jsonl import excerpt
from lingualift_ds.data.languages import base_code, language_code
from lingualift_ds.data.records import MATH_INSTRUCTION
from lingualift_ds.errors import DataError
from lingualift_ds.evaluate.answers import read_reference
from lingualift_ds.evaluate.benchmarks.question import Question, Task
from lingualift_ds.evaluate.benchmarks.rows import Row

XNLI_INSTRUCTION = "Decide how the hypothesis relates to the premise. Answer with Entailment, Neutral or Contradiction:"
"""What the LLM is told for XNLI. Training data for it has this instruction, texts such as `xnli_text` makes them, and
as target one of XNLI_CHOICES."""
XCSQA_INSTRUCTION = "Choose the best answer to the question. Answer with its letter:"
"""What the LLM is told for X-CSQA. Training data for it has this instruction, texts such as `xcsqa_text` makes them,
and as target the letter."""
XNLI_CHOICES = ("Entailment", "Neutral", "Contradiction")
"""The targets of XNLI, in the order of its labels 0, 1, 2."""

_QUESTIONS = ("m_query", "question", "text", "query", "problem", "input", "prompt", "source", "sentence")
"""Columns that a question is looked for under, in this order; `m_query` stands beside an English `query`."""
_ANSWERS = (
    "answer_number", "final_answer", "numeric_answer", "numerical_answer", "answer", "response", "label", "target",
    "output", "solution", "gold", "result",
)  # fmt: skip
"""Columns that an answer is looked for under, in this order; `answer` beside `answer_number` is the way to it."""
_IDS = ("id", "question_id", "qid", "idx", "index")


def xnli_text(premise: str, hypothesis: str) -> str:
    """What the encoder reads of an XNLI pair."""
    return f"Premise: {premise}\nHypothesis: {hypothesis}"


def xcsqa_text(question: str, choices: Mapping[str, str]) -> str:
    """What the encoder reads of an X-CSQA question; `choices` are texts by letter."""
    return "\n".join([question, *(f"{letter}. {text}" for letter, text in choices.items())])


def _own(row: Row, language: str, index: int) -> Question:
    record = row.record
    said = record.get("language")
    if isinstance(said, str) and base_code(language_code(said) or said) != base_code(language):
        raise DataError(f"{row.where}: language {excerpt(said)}, but the file is that of {language!r}")
    return Question(
        id=str(record.get("id", index)),
        language=language,
        text=row.text("text"),
        answer=_number(row, "answer"),
        object=row.optional("object"),
        instruction=row.optional("instruction") or MATH_INSTRUCTION,
        target=row.optional("target"),
    )


def _math(row: Row, language: str, index: int) -> Question:
    """MGSM, AfriMGSM: rows in the same order in every language."""
    return Question(str(index), language, row.text(*_QUESTIONS).strip(), _number(row))


def _msvamp(row: Row, language: str, index: int) -> Question:
    return Question(str(index), language, row.text("m_query"), _number(row, "response"))


def _mmwp(row: Row, language: str, index: int) -> Question:
    """As `_math`; an id of its own pairs a question with the same one in other languages."""
    key = row.find(*_IDS)
    name = str(index) if key is None else row.answer(key)
    return Question(name, language, row.text(*_QUESTIONS).strip(), _number(row))


def _number(row: Row, *names: str) -> str:
    answer = row.answer(*(names or _ANSWERS))
    if read_reference(answer) is None:
        raise DataError(f"{row.where}: the answer must be a number, found {excerpt(answer)}")
    return answer


def _xnli(row: Row, language: str, index: int) -> Question:
    told = row.answer("label", "gold_label").lower()
    names = {"0": 0, "1": 1, "2": 2, "0.0": 0, "1.0": 1, "2.0": 2, "contradictory": 2} | {
        choice.lower(): number for number, choice in enumerate(XNLI_CHOICES)
    }
    if told not in names:
        raise DataError(
            f"{row.where}: label {excerpt(told)}: must be entailment, neutral or contradiction, or 0, 1 or 2 for these"
        )
    text = xnli_text(row.text("premise", "sentence1").strip(), row.text("hypothesis", "sentence2").strip())
    answer = XNLI_CHOICES[names[told]]
    return Question(str(index), language, text, answer, instruction=XNLI_INSTRUCTION, choices=XNLI_CHOICES)


def _xcsqa(row: Row, language: str, index: int) -> Question:
    nested = row.record.get("question")
    inner = Row(row.where, nested) if isinstance(nested, dict) else row
    choices = _choices(inner)
    stem = inner.text("stem", "question").strip()
    key = row.find("answerKey", "answer_key")
    if key is None or row.record[key] is None or not str(row.record[key]).strip():
        said = "X-CSQA's public test set has no answers; put its dev set here instead"
        raise DataError(f"{row.where}: no answerKey: {said}")
    answer = str(row.record[key]).strip()
    if answer not in choices:
        raise DataError(f"{row.where}: answerKey {excerpt(answer)}: must be one of {', '.join(choices)}")
    name = row.record.get("id")
    return Question(
        str(index if name in (None, "") else name), language, xcsqa_text(stem, choices), answer,
        instruction=XCSQA_INSTRUCTION, choices=tuple(choices),
    )  # fmt: skip


def _choices(row: Row) -> dict[str, str]:
    """Texts by letter: a list of {label, text}, two lists (Parquet), or the columns choice_A, choice_B ..."""
    held = row.record.get("choices")
    if isinstance(held, dict) and isinstance(held.get("label"), list) and isinstance(held.get("text"), list):
        pairs = list(zip_longest(held["label"], held["text"]))
    elif isinstance(held, list) and all(isinstance(choice, dict) for choice in held):
        pairs = [(choice.get("label"), choice.get("text")) for choice in held]
    else:
        lettered = ((letter, row.find(f"choice_{letter}")) for letter in "ABCDE")
        pairs = [(letter, row.record[key]) for letter, key in lettered if key is not None]
    good = all(isinstance(part, str) and part.strip() for pair in pairs for part in pair)
    choices = {label.strip(): text.strip() for label, text in pairs} if good else {}
    if len(choices) < 2 or len(choices) < len(pairs):
        wanted = '"choices": [{"label": "A", "text": ...}, ...], or columns choice_A, choice_B ...'
        raise DataError(f"{row.where}: two or more choices of different letters are needed, as {wanted}")
    return choices


_COLUMNS = (*_QUESTIONS, *_ANSWERS)
_OTHERS = "or the same as .jsonl, .json, .csv, .tsv or .parquet"

TASKS: dict[str, Task] = {
    "jsonl": Task("generate", "LANG.jsonl (such as sw.jsonl)", (), _own, splits=(), suffixes=(".jsonl",)),
    "mgsm": Task(
        "generate", f"mgsm_LANG.tsv (such as mgsm_sw.tsv), {_OTHERS}", ("mgsm",), _math, named=True, columns=_COLUMNS
    ),
    "msvamp": Task(
        "generate", f"test_Language.json (such as test_Swahili.json), {_OTHERS}", ("msvamp",), _msvamp, named=True,
        kin=("test",),
    ),
    "afrimgsm": Task(
        "generate", f"afrimgsm_LANG.tsv, LANG.tsv or LANG/test.tsv (such as swa/test.tsv), {_OTHERS}", ("afrimgsm",),
        _math, columns=_COLUMNS,
    ),
    "mmwp": Task(
        "generate", f"LANG.jsonl (such as sw.jsonl), mmwp_LANG.jsonl or LANG/test.jsonl, {_OTHERS}", ("mmwp",), _mmwp,
        columns=_COLUMNS,
    ),
    "xnli": Task(
        "choice", f"xnli.test.tsv, LANG/test-*.parquet, LANG.tsv or xnli_LANG.tsv, {_OTHERS}",
        ("xnli", "xnli-1.0"), _xnli, together=True,
    ),
    "xcsqa": Task(
        "choice", f"LANG/dev.jsonl or LANG.jsonl (such as sw/dev.jsonl), {_OTHERS}", ("xcsqa", "x-csqa", "x_csqa"),
        _xcsqa, splits=("dev", "test"),
    ),
}  # fmt: skip
"""The tasks by name."""
