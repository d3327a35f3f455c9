"""English texts and word lists to measure code-switching with: real ones from a folder, or made up where it is not.

Made-up texts have what costs time in real ones: words by Zipf's law, capitals, names, numbers, amounts, calculations.
"""

import json
import random
import re
import shutil
from bisect import bisect_left
from collections.abc import Iterator
from functools import cache
from itertools import accumulate
from pathlib import Path

from lingualift_ds.data.codeswitch.sentences import split_sentences

FIRST = ("sw", "hi", "th")
"""Languages whose lexicons are taken first: a small one, one in another script, one without spaces."""
COPIES = ("ca", "cs", "da", "et", "fi", "fr", "hr", "hu", "id", "it", "lt", "lv", "nl", "pl", "pt", "ro", "sv", "vi")
"""Codes under which lexicons in Latin letters are copied, those of _LATIN in turn, where there are too few."""
_LATIN = ("es", "de", "tr", "af", "sw", "zu")
_WORDS, _KNOWN = 20_000, 0.7
"""Words of the made-up vocabulary, and the share of them that a made-up lexicon has."""


def load_texts(data: Path, rows: int) -> dict[str, list[str]]:
    """Kind -> texts: questions of GSM8K, their sentences, and worked answers, of that many rows."""
    path = data / "gsm8k/train.jsonl"
    questions, answers = _read(path, rows) if path.is_file() else _make(rows)
    sentences = [sentence for text in questions for sentence in split_sentences(text)]
    return {"sentences": sentences, "questions": questions, "answers": answers}


def write_lexicons(data: Path, count: int, folder: Path) -> None:
    """Put that many word lists into `folder`: those of `data`, copies of them under other codes, or made-up ones."""
    folder.mkdir(parents=True)
    there = {path.stem.removeprefix("en-"): path for path in sorted((data / "lexicons").glob("en-*.txt"))}
    for code, origin in list(zip([code for code in COPIES if code not in there], _LATIN * len(COPIES))):
        if origin in there:
            there[code] = there[origin]
    codes = [*FIRST, *(code for code in there or COPIES if code not in FIRST)]
    if len(codes) < count:
        raise SystemExit(f"{count} lexicons: there are {len(codes)}, copies under other codes counted")
    for code in codes[:count]:
        target = folder / f"en-{code}.txt"
        if there:
            shutil.copyfile(there[code], target)
        else:
            target.write_text(_made_lexicon(code), encoding="utf-8")


def recombined(sentences: list[str], count: int) -> Iterator[dict[str, str]]:
    """That many rows of new sentences: the head of one, the tail of another, and numbers of their own.

    The words are those of real text and come as often; numbers never cease to be new, as in all large data.
    """
    rng = random.Random(0)
    words = [sentence.split(" ") for sentence in sentences]
    for number in range(count):
        head, tail = rng.choice(words), rng.choice(words)
        text = " ".join(head[: (len(head) + 1) // 2] + tail[len(tail) // 2 :])
        yield {"id": f"s{number}", "text": re.sub(r"\d+", lambda _: str(int(10 ** rng.uniform(0, 6))), text)}


def write_rows(path: Path, sentences: list[str], count: int) -> int:
    """Write recombined sentences as JSON lines; returns how many words they have."""
    words = 0
    with path.open("w", encoding="utf-8") as file:
        for row in recombined(sentences, count):
            file.write(json.dumps(row) + "\n")
            words += len(row["text"].split())
    return words


def _read(path: Path, rows: int) -> tuple[list[str], list[str]]:
    with path.open(encoding="utf-8") as file:
        found = [json.loads(line) for _, line in zip(range(rows), file)]
    return [row["question"] for row in found], [row["answer"] for row in found]


def _make(rows: int) -> tuple[list[str], list[str]]:
    """Made-up questions of about 45 words, and answers with calculations."""
    rng, vocabulary = random.Random(0), _vocabulary()
    bounds = list(accumulate(1 / rank for rank in range(1, len(vocabulary) + 1)))

    def sentence(end: str) -> str:
        words = [vocabulary[bisect_left(bounds, rng.random() * bounds[-1])] for _ in range(rng.randint(6, 18))]
        words[rng.randrange(1, len(words))] = rng.choice((f"${rng.randint(1, 500)}", str(rng.randint(2, 99))))
        if rng.random() < 0.5:
            words[rng.randrange(1, len(words))] = rng.choice(vocabulary[200:400]).capitalize()
        words[0] = words[0].capitalize()
        return " ".join(words) + end

    def line() -> str:
        a, b = rng.randint(2, 99), rng.randint(2, 99)
        return f"{sentence('')} {a} + {b} = <<{a}+{b}={a + b}>>{a + b}."

    questions = [" ".join([sentence(".") for _ in range(3)] + [sentence("?")]) for _ in range(rows)]
    answers = ["\n".join([line() for _ in range(3)] + [f"#### {rng.randint(2, 999)}"]) for _ in range(rows)]
    return questions, answers


@cache
def _vocabulary() -> list[str]:
    """Words of consonants and vowels in turn, the frequent ones short; `a` comes as often as in English, 2 %."""
    rng, found = random.Random(1), {}
    while len(found) < _WORDS:
        length = 2 + min(len(found).bit_length() // 3, 5) + rng.randint(0, 2)
        found["".join(rng.choice(("bcdfghklmnprstvw", "aeiou")[n % 2]) for n in range(length))] = None
    return [*list(found)[:4], "a", *list(found)[4:]]


def _made_lexicon(code: str) -> str:
    """Lines of English, TAB, translation, up to four a word, in the script of a code that FIRST has, or in Latin."""
    rng = random.Random(code)
    letters = {"hi": "कखगघचछजतथदनपबमयरलवसह", "th": "กขคงจชซญดตถทนบปผพมยร"}.get(code, "bdfgjklmnoprstuvz")
    lines = []
    for word in _vocabulary():
        if rng.random() < _KNOWN:
            for _ in range(rng.randint(1, 4)):
                lines.append(f"{word}\t{''.join(rng.choices(letters, k=rng.randint(2, 9)))}\n")
    return "".join(lines)
