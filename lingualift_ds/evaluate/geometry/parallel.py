"""Parallel sentences: the same ones in every language, from a benchmark's folder or a table of languages.

What does not pair is left out, counted and said; nothing is guessed. Every language ends with the same sentences, so
that its numbers compare with any other's.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lingualift_ds.data.jsonl import read_jsonl
from lingualift_ds.errors import ConfigError, DataError
from lingualift_ds.evaluate.answers import parse_number
from lingualift_ds.evaluate.benchmarks import Question, load_benchmark
from lingualift_ds.evaluate.geometry.columns import read_columns
from lingualift_ds.log import get_logger

logger = get_logger(__name__)

ENGLISH = "en"
LEAST = 10
"""Sentences that numbers are given for; of fewer, retrieval would be a lottery."""
_BY_ROW = ("mgsm", "msvamp")
"""Benchmarks without ids: sentences pair by row, and their answers tell whether they do."""
_FOLDERS = {"mgsm": "mgsm_*.tsv", "msvamp": "test_*.json", "jsonl": "*.jsonl"}
"""Benchmark: names of its files, by which a folder is told."""
_UNLIKE = 0.1
"""Share of rows whose answers may differ from English's before the files are taken to be of other questions."""


@dataclass(frozen=True)
class Parallel:
    """Sentences by language code, English first; those at one place mean the same.

    `ids` names the places; `dropped` counts, by what was wrong, the sentences that do not pair.
    """

    source: str
    ids: tuple[str, ...]
    texts: dict[str, tuple[str, ...]]
    dropped: dict[str, int]


def read_parallel(path: Path | str, languages: Sequence[str] | None = None, limit: int = 200) -> Parallel:
    """The first `limit` sentences that are there in English and in all of `languages` (None: all there are).

    path: a folder of mgsm, msvamp or LANG.jsonl files, or a table with a column a language.

    Raises:
        ConfigError: for a limit below LEAST, or languages without another one than English.
        DataError: for what cannot be read, has no English, or pairs in fewer than LEAST sentences.
    """
    if limit < LEAST:
        raise ConfigError(f"--limit {limit}: at least {LEAST} sentences are needed")
    wanted = None if languages is None else [code for code in dict.fromkeys(languages) if code != ENGLISH]
    if wanted is not None and not wanted:
        raise ConfigError(f"--languages {','.join(languages)}: name at least one beside English")
    path, dropped = Path(path), Counter()
    by_id = _read_folder(path, wanted, dropped) if path.is_dir() else read_columns(path, wanted, ENGLISH)
    others = [code for code in (wanted or by_id) if code != ENGLISH]
    if not others:
        raise DataError(f"{path}: holds English only; parallel sentences of another language are needed")
    kept = _pair(by_id, others, dropped)
    for reason, count in dropped.items():
        logger.warning("%s: left out: %s: %d", path, reason, count)
    if len(kept) < LEAST:
        pairs = {code: len(by_id[code].keys() & by_id[ENGLISH].keys()) for code in others}
        least = min(pairs, key=pairs.get)
        raise DataError(
            f"{path}: only {len(kept)} sentences are there in all of {', '.join((ENGLISH, *others))}; at least {LEAST} "
            f"are needed ({least} has {pairs[least]} in common with English)"
        )
    kept = kept[:limit]
    texts = {code: tuple(by_id[code][id_] for id_ in kept) for code in (ENGLISH, *others)}
    return Parallel(str(path), tuple(kept), texts, dict(dropped))


def _pair(by_id: dict[str, dict[str, str]], others: list[str], dropped: Counter) -> list[str]:
    """The ids that every language has, in English's order."""
    english = by_id[ENGLISH]
    for code in others:
        for there, missing in ((ENGLISH, code), (code, ENGLISH)):
            unpaired = len(by_id[there].keys() - by_id[missing].keys())
            if unpaired:
                dropped[f"{there} sentences that {missing} does not have"] += unpaired
    return [id_ for id_ in english if all(id_ in by_id[code] for code in others)]


def _read_folder(folder: Path, wanted: list[str] | None, dropped: Counter) -> dict[str, dict[str, str]]:
    """Sentences by language and id."""
    task = _task_of(folder)
    questions = load_benchmark(task, folder)
    if ENGLISH not in questions and task == "msvamp":
        questions[ENGLISH] = _msvamp_english(folder)
    missing = [code for code in (ENGLISH, *(wanted or ())) if code not in questions]
    if missing:
        raise DataError(f"{folder}: has no sentences of {', '.join(map(repr, missing))}; it has {', '.join(questions)}")
    found = {}
    for code in (ENGLISH, *(wanted or (code for code in questions if code != ENGLISH))):
        rows = questions[code]
        if task in _BY_ROW:
            rows = _of_same_answer(folder, code, rows, questions[ENGLISH], dropped)
        found[code] = {question.id: question.text for question in rows}
    return found


def _task_of(folder: Path) -> str:
    found = {task: next(iter(sorted(folder.glob(pattern))), None) for task, pattern in _FOLDERS.items()}
    found = {task: path for task, path in found.items() if path is not None}
    if not found:
        raise DataError(
            f"{folder}: holds no parallel sentences; files such as mgsm_sw.tsv, test_Swahili.json or sw.jsonl are "
            "needed, or the path of a table with a column a language"
        )
    if len(found) > 1:
        names = ", ".join(path.name for path in found.values())
        raise DataError(f"{folder}: holds files of {' and '.join(found)} ({names}); leave those of one benchmark")
    return next(iter(found))


def _msvamp_english(folder: Path) -> list[Question]:
    """English as the files of other languages have it, in `query`."""
    path = min(folder.glob(_FOLDERS["msvamp"]))
    english = []
    for index, (number, record) in enumerate(read_jsonl(path)):
        text = record.get("query")
        if not isinstance(text, str) or not text.strip():
            raise DataError(f"{path}:{number}: 'query' must be the English text; there is no test_English.json either")
        english.append(Question(str(index), ENGLISH, text, str(record["response"])))
    return english


def _of_same_answer(
    folder: Path, code: str, rows: list[Question], english: list[Question], dropped: Counter
) -> list[Question]:
    """Rows whose answer is that of English's row: of files that pair by row alone, a lost line would shift the rest."""
    expected = {question.id: parse_number(question.answer) for question in english}
    same = [row for row in rows if row.id not in expected or parse_number(row.answer) == expected[row.id]]
    unlike = len(rows) - len(same)
    if unlike > _UNLIKE * len(rows):
        raise DataError(
            f"{folder}: the files of {code} and {ENGLISH} are not parallel: {unlike} of {len(rows)} rows have another "
            "answer; is a line missing?"
        )
    if unlike:
        dropped[f"{code} rows with another answer than {ENGLISH}"] += unlike
    return same
