"""Pairs of a lexicon made usable, step by step, or dropped with the reason said.

Lexicons as people find them are dirty, and what is wrong in them is learned in Stage I. Every step has a name, can be
left out, and counts what it did, with the first few examples. Most pairs of a good lexicon are plain words in their
language's letters: they are told by one regular expression and pass all the steps on a side at once.
"""

import difflib
import html
import re
import sys
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import regex

from lingualift_ds.data.languages import base_code, small_letters, uncapitalised
from lingualift_ds.data.scripts import script_check, scripts_of
from lingualift_ds.errors import ConfigError

MOST_EXAMPLES = 10
"""Examples kept of what one step did: the first ones."""
_LONGEST_EXAMPLE = 80


@dataclass(frozen=True)
class Step:
    """A cleaning step: what it does, and the reasons for which it drops pairs (none: it mends them)."""

    does: str
    reasons: tuple[str, ...] = ()


STEPS: Mapping[str, Step] = {
    "several": Step("cells of a list or table with several translations are taken apart: ; and often , / |"),
    "entities": Step("HTML entities are decoded: &quot; or &#91"),
    "punctuation": Step("punctuation glued on and remarks in brackets are taken off"),
    "forms": Step("English as dictionaries have it becomes the word: to run, a dog, water n."),
    "case": Step(
        "a capital that both sides begin with becomes small (German nouns apart), and so do lists all in capitals; "
        "case variants are one"
    ),
    "letters": Step("pairs without a letter are dropped", ("no letters",)),
    "numbers": Step("pairs with a digit are dropped", ("number",)),
    "symbols": Step("pairs with a symbol inside are dropped", ("symbol",)),
    "fragments": Step("English clitics cut off their word are dropped", ("fragment",)),
    "marks": Step("translations that begin with a combining mark are dropped", ("mark",)),
    "identity": Step("translations equal to the English are dropped", ("identity",)),
    "script": Step("pairs in letters of other scripts are dropped", ("script", "english")),
    "acronyms": Step("capitals are dropped where their lower case is another word", ("acronym",)),
    "duplicates": Step("pairs that came before are dropped", ("duplicate",)),
}
"""The steps that can be left out, by name, in the order in which they are reported."""

DROP_REASONS: Mapping[str, str] = {
    "not UTF-8": "a line that is not UTF-8",
    "odd": "of another shape than the rest of the file",
    "untranslated": "a dictionary's word without a translation into any language",
    "other language": "a row of a language other than the lexicon's",
    "empty": "a side is missing",
    "no letters": "nothing but punctuation or symbols",
    "number": "holds a digit: numbers must survive code-switching",
    "symbol": "a symbol inside, such as c++ or us$",
    "fragment": "a clitic cut off its word, such as 's",
    "mark": "the translation begins with a combining mark: a piece of a word",
    "identity": "translation equal to the English",
    "script": "the translation is not in the script of the language",
    "english": "the English side is not in Latin letters",
    "acronym": "capitals whose lower case is another word (US, us)",
    "duplicate": "the same pair again",
}
"""Why a pair can be dropped, as counted in `Lexicon.dropped`."""

_NOUN_CAPITALS = frozenset({"de", "lb"})  # capitals inside a sentence are spelling there
# Control characters and halves of surrogate pairs too.
_INVISIBLE = re.compile(
    "[\u00ad\u200b\u200e\u200f\u2060\ufeff\u202a-\u202e\0-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\ud800-\udfff]"
)
_APOSTROPHES = str.maketrans("’‘ʼ`´＇", "''''''")
_REMARK = re.compile(r"\([^()]*(?:\)|$)|（[^（）]*(?:）|$)|(?<!\[)\[[^\[\]]*\](?!\])|\{[^{}]*\}")
_STRAY_ENTITY = re.compile(r"&(apos|quot|amp|lt|gt)\b;?")
_CUT_CLITIC = re.compile(r"(?<=\w) (?='\w)")
_CLITIC = re.compile(r"'\s?(s|t|d|m|re|ve|ll|em)", re.IGNORECASE)
_DIGIT = regex.compile(r"\p{N}")
_SYMBOL = regex.compile(r"\p{S}")
_LETTER = regex.compile(r"\p{L}")
_MOST_KNOWN = 1000  # an English word has its lines together in most files
_GLOTTAL = re.compile("['’‘][aeiouāēīōūAEIOU]")
_OWN_STARTS = {"af": re.compile(r"['’] ?[nktNKT]\b"), "ha": re.compile("['’][yY]")}
_OWN_STARTS |= dict.fromkeys(("haw", "sm", "to", "ty"), _GLOTTAL)
"""Where an apostrophe before a word is its first letter: Afrikaans 'n, Hausa 'ya, Hawaiian 'aina."""
_TAIL = re.compile(
    r"[,\s]\s*(?:n|v|vi|vt|aux|adj|adv|prep|pron|conj|interj|det|num)(?:\.\s?(?:t|i|n|pl|sg|tr|intr)){0,2}\.$",
    re.IGNORECASE,
)
"""A part of speech behind the English: water n., run v.t."""
_FORM = re.compile(r"(to|an?|the) (\w[\w'-]+)", re.IGNORECASE)
_NO_FORMS = frozenset(
    "me you him her us them it this that these those my your his its our their the one an what which who whom where "
    "lot few little bit while trifle pieces priori posteriori la carte date other others most least".split()
)
"""Behind `to`, `a` or `the`, words that mean something else alone."""
_PLAIN_ENGLISH = re.compile(r"[A-Za-z]+(?:[ '-][A-Za-z]+)*")


def fold(english: str) -> str:
    """The form in which English is looked up: lower case, straight apostrophes, single spaces."""
    return " ".join(english.translate(_APOSTROPHES).lower().split())


def check_unclean(unclean: Sequence[str]) -> frozenset[str]:
    """The names of steps to leave out, as a set. Raises ConfigError for one that is none."""
    for name in unclean:
        if name not in STEPS:
            near = difflib.get_close_matches(name, STEPS, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise ConfigError(f"unclean {name!r}: no cleaning step; there are {', '.join(STEPS)}{hint}")
    return frozenset(unclean)


class Dirt:
    """What the steps did: counts and the first examples, by reason for dropped pairs and by step for mended ones."""

    def __init__(self) -> None:
        self.dropped: Counter[str] = Counter()
        self.mended: Counter[str] = Counter()
        self.examples: dict[str, list[str]] = {}

    def drop(self, reason: str, english: str, translation: str | None = None) -> None:
        """Count a pair left out, or a line that was none."""
        self.dropped[reason] += 1
        if self.dropped[reason] <= MOST_EXAMPLES:
            self._keep(reason, english if translation is None else f"{english} = {translation}")

    def mend(self, step: str, before: tuple[str, str], after: tuple[str, str]) -> None:
        """Count a pair that a step changed."""
        self.mended[step] += 1
        if self.mended[step] <= MOST_EXAMPLES:
            self._keep(step, f"{before[0]} = {before[1]} -> {after[0]} = {after[1]}")

    def _keep(self, name: str, example: str) -> None:
        if len(example) > _LONGEST_EXAMPLE:
            example = example[:_LONGEST_EXAMPLE] + "..."
        self.examples.setdefault(name, []).append(example.strip())


class Side(NamedTuple):
    """One side of a pair, cleaned.

    Attributes:
        text: what is left of it, in its own case.
        reason: why the pair cannot be used, a key of DROP_REASONS; None where it can.
        mended: the steps that changed it.
        key: the English side as it is looked up; "" for a translation.
    """

    text: str
    reason: str | None = None
    mended: tuple[str, ...] = ()
    key: str = ""


class Cleaner:
    """Cleans the pairs of one language.

    Raises:
        DataError: for an unknown language; ConfigError: for a step to leave out that is none.
    """

    def __init__(self, language: str, unclean: Sequence[str] = ()):
        out = check_unclean(unclean)
        self.steps = frozenset(STEPS) - out
        """The steps that are taken."""
        self._language = language
        self._script, self._latin = script_check(language), script_check("en")
        self._can_equal = "Latn" in scripts_of(language)
        self._small = "case" in self.steps and base_code(language) not in _NOUN_CAPITALS
        self._own_start = _OWN_STARTS.get(base_code(language))
        self._known: dict[str, Side] = {}

    def pair(self, english: str, translation: str) -> tuple[Side, Side]:
        """Both sides, clean. The pair is to be dropped where one has a reason; a pair has one reason at most."""
        source = self._known.get(english)
        if source is None:
            source = self._english(english)
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            self._known[english] = source
        text = unicodedata.normalize("NFC", translation)
        plain = self._script.word.fullmatch(text) is not None
        target = Side(text) if plain else self._clean(text)
        if source.reason or target.reason:
            return source, target._replace(
                reason="empty" if target.reason == "empty" else source.reason or target.reason
            )
        text = target.text
        if "identity" in self.steps and not (plain and not self._can_equal) and _fold_clean(text) == source.key:
            return source, Side(text, "identity")
        if "script" in self.steps:
            if not plain and not self._script.holds(text):
                return source, Side(text, "script")
            if not source.text.isascii() and not self._latin.holds(source.text):
                return source, Side(text, "english")
        if self._small and source.text[0].isupper() and text[0].isupper() and not text.isupper():
            # A capital on both sides is the file's (start of a sentence, a name): a text gives it back.
            target = Side(uncapitalised(text, self._language), None, (*target.mended, "case"))
        return source, target

    def pair_in_capitals(self, english: str, translation: str) -> tuple[Side, Side]:
        """As `pair`, for a list all in capitals, which then say nothing about a word."""
        source, target = self.pair(small_letters(english, "en"), small_letters(translation, self._language))
        changed = english.isupper() or translation.isupper()
        return source, target._replace(mended=(*target.mended, "case")) if changed else target

    def _english(self, raw: str) -> Side:
        plain = _PLAIN_ENGLISH.fullmatch(raw) is not None
        if plain and " " not in raw:
            return Side(raw, key=sys.intern(raw.lower()))
        forms = "forms" in self.steps
        word = _TAIL.sub("", raw) if forms and raw.endswith(".") else raw
        side = Side(raw) if plain else self._clean(unicodedata.normalize("NFC", word).translate(_APOSTROPHES), True)
        text = _dictionary_word(side.text) if forms else side.text
        if text != side.text or word != raw:
            side = side._replace(text=text, mended=(*side.mended, "forms"))
        return side._replace(key=sys.intern(fold(side.text)))

    def _clean(self, text: str, english: bool = False) -> Side:
        """A side by itself, NFC: mended, or with the reason why it cannot be."""
        mended = []
        if "&" in text and "entities" in self.steps:
            decoded = html.unescape(_STRAY_ENTITY.sub(r"&\1;", html.unescape(text)))
            if decoded != text:
                text = unicodedata.normalize("NFC", decoded)
                mended.append("entities")
        if _INVISIBLE.search(text):
            text = _INVISIBLE.sub("", text)
        text = " ".join(text.split())
        if english:
            text = text.translate(_APOSTROPHES)
        if " '" in text:  # tokenisers' ` 'x`
            text = _CUT_CLITIC.sub("", text)
        if not text:
            return Side(text, "empty")
        if english and "fragments" in self.steps and _CLITIC.fullmatch(text):
            return Side(text, "fragment")
        if "punctuation" in self.steps:
            stripped = _strip_glued(text, None if english else self._own_start)
            if stripped != text:
                text = stripped
                mended.append("punctuation")
        return Side(text, self._flaw(text, english), tuple(mended))

    def _flaw(self, text: str, english: bool) -> str | None:
        """Why a side cannot be used, as far as it shows in that side alone."""
        digit = _DIGIT.search(text)
        if digit and "numbers" in self.steps:
            return "number"
        if "letters" in self.steps and not _LETTER.search(text):
            return "no letters"
        if not text:
            return "empty"
        if "symbols" in self.steps and _SYMBOL.search(text):
            return "symbol"
        if "marks" in self.steps and not english and unicodedata.category(text[0])[0] == "M":
            return "mark"
        return None


def _fold_clean(text: str) -> str:
    return fold(text) if "’" in text or not text.isascii() else text.lower()


def _dictionary_word(english: str) -> str:
    """The verb of `to run` and the noun of `a dog`, with the first capital of the whole; other English as it is."""
    form = _FORM.fullmatch(english)
    if form is None or form[2].lower() in _NO_FORMS:
        return english
    # The Gulf and the US are names that are not the word; To Run is a title.
    if form[2][0].isupper() and (form[1] != "To" or form[2].isupper()):
        return english
    return form[2][0].upper() + form[2][1:] if form[1][0].isupper() else form[2]


def _strip_glued(text: str, own_start: re.Pattern[str] | None) -> str:
    """Without bracketed remarks, and without punctuation at either end, what `own_start` matches apart."""
    if any(bracket in text for bracket in "([{（"):
        text = _REMARK.sub(" ", text)
    start, end = 0, len(text)
    while start < end and _is_glue(text[start]) and not (own_start and own_start.match(text, start)):
        start += 1
    while end > start and _is_glue(text[end - 1]):
        end -= 1
    if own_start and start < end and text.startswith(("' ", "’ "), start):
        return "'" + " ".join(text[start + 1 : end].split())
    return " ".join(text[start:end].split())


def _is_glue(character: str) -> bool:
    return character.isspace() or unicodedata.category(character)[0] == "P" or character in "`´"
