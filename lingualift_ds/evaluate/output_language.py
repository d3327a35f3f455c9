"""Which language a model's output is in: an English-centric LLM that answers in another one has left its ground.

Scripts say most, a statistical classifier (py3langid) the rest. Worked solutions are short and full of numbers and
names, so an output counts as foreign only where the classifier all but rules the expected language out. On GSM8K's
solutions that is 1 in 1,000, on single lines of them 2; on MGSM's questions in eight other languages, all.
"""

from dataclasses import dataclass
from functools import cache

import regex

from lingualift_ds.data.languages import base_code
from lingualift_ds.data.scripts import scripts_of

_RULED_OUT = 0.05
"""Probability of the expected language below which an output is foreign."""
_CERTAIN = 0.5
"""Probability above which the classifier's word is taken for which foreign language it is."""
_FEWEST_WORDS = 3
_FEWEST_FOREIGN = 3
"""Letters of another script that are enough to tell: 答案是18."""
_LONGEST = 4000
"""Characters that are looked at."""
_KIN = {"en": {"pcm"}}
"""Languages that the classifier takes short texts of another for."""
_NO_LANGUAGE = "zxx"

# Calculations, LaTeX commands, addresses: letters of no language.
_NO_WORDS = regex.compile(r"<<[^>]*>>|\\[A-Za-z]+|https?://\S+")
_WORD = regex.compile(r"[\p{L}\p{M}]+(?:['’][\p{L}\p{M}]+)*")
_SINGLE = regex.compile(r"[\p{Latin}\p{Greek}\p{Cyrillic}]")
"""A letter of an alphabet by itself: a variable, a unit, a choice."""


@dataclass(frozen=True)
class OutputLanguage:
    """The language of an output.

    Attributes:
        code: its code, or None where it is not clear.
        wrong: whether it is another one than expected; None where that is not clear, as of numbers alone.
    """

    code: str | None
    wrong: bool | None


def output_language(text: str, expected: str = "en") -> OutputLanguage:
    """The language of a model's output, and whether it is not the `expected` one.

    Raises:
        DataError: where `expected` is no known language.
    """
    foreign_letter = _foreign_letter(expected)
    words = _WORD.findall(_NO_WORDS.sub(" ", text[:_LONGEST]))
    words = [word for word in words if not _SINGLE.fullmatch(word)]
    foreign = [word for word in words if foreign_letter.search(word)]
    own = [word for word in words if not foreign_letter.search(word)]
    letters = sum(map(len, foreign))
    if letters >= _FEWEST_FOREIGN and letters > sum(map(len, own)):
        return OutputLanguage(_likeliest(words), True)
    # A foreign name or word in a text of the expected language leaves it that.
    return OutputLanguage(None, None) if len(own) < _FEWEST_WORDS else _by_words(own, base_code(expected))


def _by_words(words: list[str], expected: str) -> OutputLanguage:
    """Of words in a script of the expected language."""
    kin = {expected} | _KIN.get(expected, set())
    ranked = _ranked(words)
    known = [share for code, share in ranked if code in kin]
    if ranked[0][0] in kin:
        return OutputLanguage(expected, False)
    if not known or sum(known) >= _RULED_OUT:
        return OutputLanguage(None, None)
    return OutputLanguage(_likeliest(words), True)


def _likeliest(words: list[str]) -> str | None:
    """The language that words are in, where the classifier is certain."""
    code, share = _ranked(words)[0]
    return code if share > _CERTAIN and code != _NO_LANGUAGE else None


def _ranked(words: list[str]) -> list[tuple[str, float]]:
    """Codes and probabilities, the likeliest first."""
    return [(base_code(label), share) for label, share in _classifier().rank(" ".join(words))]


@cache
def _foreign_letter(expected: str) -> regex.Pattern:
    """Matches a letter of a script that a language is not written in. Raises DataError for an unknown language."""
    scripts = "".join(rf"\p{{scx={script}}}" for script in scripts_of(expected))
    return regex.compile(rf"[[\p{{L}}\p{{M}}]--[{scripts}\p{{sc=Zyyy}}\p{{sc=Zinh}}]]+", regex.V1)


@cache
def _classifier():
    # Loads numpy and a model in about a second: only where there is something to judge.
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
