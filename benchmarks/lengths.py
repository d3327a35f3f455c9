"""Lengths of real samples, in tokens: from GSM8K's training rows where they are at hand, else from a table of them.

    python benchmarks/lengths.py DIR     prints the table below anew from DIR/gsm8k/train.jsonl

No tokenizer is needed: a text's tokens are counted by a rule. A digit, a punctuation mark and a newline are a token
each, and a run of letters is a token for every 5 letters begun (LLM) or 4 (encoder, whose vocabulary a hundred
languages share). On GSM8K's questions that gives 3.65 characters a token for the LLM and 3.27 for the encoder, near
what Llama's and mT5's tokenizers give on such text; answers, full of digits and marks, come to 2.17.

A sample is a question with its answer. Stage I reads the question and has the question as its target (the English
sentence to restore; words replaced from a lexicon keep the length about as it was); Stage II reads the question and
has the answer as its target.
"""

import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

_PIECES = re.compile(r"[^\W\d_]+|\d|\n|[^\s\w]|_")
_LLM_LETTERS, _ENCODER_LETTERS = 5, 4
ROWS_FILE = "gsm8k/train.jsonl"
"""Where the rows lie in a data folder: `question` and `answer` in every line."""


@dataclass(frozen=True)
class Lengths:
    """One row each: tokens of the question for the encoder and for the LLM, tokens of the answer for the LLM."""

    table: np.ndarray
    source: str

    def of_stage(self, stage: int) -> np.ndarray:
        """[rows, 2]: tokens of the encoder's text and of the LLM's target, their end-of-sequence tokens included."""
        return self.table[:, [0, 1 if stage == 1 else 2]] + 1


def llm_tokens(text: str) -> int:
    """About as many tokens as an English LLM's tokenizer makes of it."""
    return _count(text, _LLM_LETTERS)


def read_lengths(folder: Path | None) -> Lengths:
    """From a data folder's rows, or from the table in this file where no folder is named.

    Raises OSError or ValueError where the rows cannot be read.
    """
    if folder is None:
        table = np.array([int(n) for n in _TABLE.split()]).reshape(-1, 3)
        return Lengths(table, f"table of {len(table)} rows of GSM8K (train) in benchmarks/lengths.py")
    with (folder / ROWS_FILE).open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in file if line.strip()]
    if not rows or any("question" not in r or "answer" not in r for r in rows):
        raise ValueError("not every line has a question and an answer")
    counted = [
        (_count(r["question"], _ENCODER_LETTERS), llm_tokens(r["question"]), llm_tokens(r["answer"])) for r in rows
    ]
    return Lengths(np.array(counted), f"{len(rows)} rows of {ROWS_FILE}")


def thinned(table: np.ndarray, rows: int) -> np.ndarray:
    """`rows` rows that are spread as all are: one of each of as many equal slices, ordered by length."""
    ordered = table[np.lexsort((table[:, 2], table.sum(axis=1)))]
    choose = np.random.Generator(np.random.PCG64(0))
    return np.array([ordered[choose.integers(s[0], s[-1] + 1)] for s in np.array_split(np.arange(len(table)), rows)])


def _count(text: str, letters: int) -> int:
    return sum(-(-len(piece) // letters) for piece in _PIECES.findall(text))


_TABLE = """
32 28 51  32 28 56  37 32 52  30 29 64  37 36 54  35 31 63  45 41 46  41 36 57  34 33 69
33 30 76  40 34 67  45 43 56  24 22 98  38 33 75  34 30 84  40 36 73  33 30 87  44 36 72
36 32 85  35 31 89  45 41 70  54 44 60  25 22 111  45 45 69  39 38 83  48 45 69  56 48 59
43 40 80  40 40 85  42 37 87  49 45 74  44 40 84  45 41 83  42 36 92  53 48 70  41 35 96
48 45 80  48 42 84  42 37 96  47 41 88  48 42 87  53 48 77  51 46 82  54 46 80  49 47 85
60 55 68  73 67 44  59 56 70  48 41 96  35 33 118  75 60 53  54 43 91  51 48 90  48 42 100
57 48 86  58 50 84  46 40 106  41 38 114  61 56 78  47 39 109  71 63 63  39 34 124  50 45 103
58 56 85  58 53 89  55 50 95  66 61 75  77 64 62  33 29 141  46 38 120  54 52 99  59 52 95
55 52 100  63 54 91  68 63 78  51 43 115  70 62 78  71 68 73  61 55 96  47 44 121  70 68 76
52 48 114  65 57 93  71 59 86  64 62 91  42 41 134  57 52 109  66 58 95  62 55 103  46 41 133
62 56 103  36 34 152  65 60 98  62 55 107  46 42 137  40 33 153  67 63 97  71 58 99  68 59 102
63 56 111  52 49 129  46 36 149  67 61 104  70 64 99  56 52 126  65 58 112  55 50 130  48 42 146
66 58 114  41 37 160  47 42 150  69 62 109  50 46 145  65 56 121  58 50 135  64 60 120  75 67 103
66 57 122  55 50 141  82 76 89  65 56 127  77 72 100  74 68 108  66 62 122  60 56 135  59 55 137
47 39 166  56 48 149  81 74 100  69 65 121  59 54 143  73 69 115  78 73 107  70 62 126  74 70 116
87 77 97  83 75 103  84 71 107  59 58 146  89 78 97  69 63 133  73 64 129  64 60 143  71 62 135
97 87 85  61 54 154  55 50 165  73 66 133  68 62 142  63 51 159  75 70 129  68 60 147  69 65 143
95 84 99  96 88 95  73 67 140  89 79 113  82 78 122  82 69 131  75 66 142  67 61 156  70 63 152
74 70 142  66 60 161  69 60 159  67 58 164  80 69 141  79 67 146  62 57 173  106 91 97  62 53 179
75 66 155  65 60 172  66 56 176  88 78 135  82 72 148  70 66 166  55 50 198  81 72 152  78 71 158
47 42 219  82 76 152  87 75 149  72 67 173  81 68 164  74 66 173  86 77 152  95 84 139  86 78 154
72 69 179  113 102 107  106 93 125  85 76 163  75 71 179  88 75 164  102 91 137  66 62 202  99 90 144
60 53 220  105 94 137  82 72 182  100 86 152  111 92 137  78 71 192  103 94 148  69 62 215  95 84 168
110 101 139  70 59 222  83 77 192  101 88 166  158 135 65  103 81 175  75 70 215  90 78 194  106 93 168
117 101 151  78 76 215  126 121 126  117 108 150  80 76 219  107 99 173  56 48 277  113 102 168  75 67 245
98 86 205  82 72 236  71 63 257  128 116 151  132 112 155  87 84 229  114 104 186  81 72 255  106 94 211
85 81 246  82 74 258  126 110 183  105 92 227  175 162 90  125 110 193  108 99 228  122 111 204  116 105 219
157 144 145  149 137 167  112 95 252  135 123 202  106 95 268  130 116 235  132 118 236  100 92 302  151 136 219
167 141 211  162 148 254  183 161 229  192 177 241
"""

if __name__ == "__main__":
    numbers = [" ".join(map(str, row)) for row in thinned(read_lengths(Path(sys.argv[1])).table, 256)]
    print("\n".join(",  ".join(numbers[i : i + 9]).replace(",", "") for i in range(0, 256, 9)))
