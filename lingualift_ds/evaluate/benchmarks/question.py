"""A question of a benchmark, and what is stated of a benchmark."""

from collections.abc import Callable
from dataclasses import dataclass

from lingualift_ds.data.records import MATH_INSTRUCTION
from lingualift_ds.evaluate.benchmarks.rows import Row


@dataclass(frozen=True)
class Question:
    """One question of a benchmark.

    Attributes:
        id: unique within task and language; equal across the languages of a parallel benchmark.
        language: code, such as `sw`.
        text: the question, as the encoder reads it.
        answer: the reference as it stands in the file: a number, or one of `choices`.
        object: what is counted, where the benchmark says so.
        instruction: what the LLM is told beside the question.
        target: a worked answer, where the benchmark has one.
        choices: the targets whose log-likelihoods are compared; empty where an answer is generated.
    """

    id: str
    language: str
    text: str
    answer: str
    object: str | None = None
    instruction: str = MATH_INSTRUCTION
    target: str | None = None
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Task:
    """How a benchmark lies on disk, and what becomes of its rows.

    Attributes:
        kind: "generate" (the answer is written) or "choice" (the likeliest of the choices is taken).
        shape: how its files are named, for users.
        names: its name in the names of files and folders, in small letters: mgsm_sw.tsv, X-CSQA/sw.
        read: the question of a row of a language, which is number `index` of it from 0.
        named: a file that does not lie in a folder of its language must bear one of `names`, or of `kin`.
        kin: words that stand for the name where `named` is asked for.
        splits: the parts it is evaluated on, the first that is there: "test", "dev".
        suffixes: what its files end in; any of files.SUFFIXES where empty.
        together: a file may hold all languages, told by a column `language`.
        columns: what the columns may be called; a table with none of them in its first row has no header.
    """

    kind: str
    shape: str
    names: tuple[str, ...]
    read: Callable[[Row, str, int], Question]
    named: bool = False
    kin: tuple[str, ...] = ()
    splits: tuple[str, ...] = ("test", "dev")
    suffixes: tuple[str, ...] = ()
    together: bool = False
    columns: tuple[str, ...] = ()
