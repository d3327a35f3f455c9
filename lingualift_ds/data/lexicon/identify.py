"""Which language words are in, by a statistical classifier (py3langid), judged with care.

One word says little, and loans, names and near relatives look alike. So words are judged in several samples of many
words each, and a guess is made only where nearly all samples agree and at most a stray one is for what is claimed.
"""

from collections import Counter
from collections.abc import Sequence
from functools import cache

from lingualift_ds.data.languages import LANGUAGES, base_code

_SAMPLES = 10
_SAMPLE_WORDS = 60
_FEWEST_WORDS = 10
"""In a sample; the classifier is right on nearly all samples of 20 words of a word list, and on all of 60."""
_AGREEING = 0.8
_STRAYS = 0.1
_CONFIDENCE = 0.8
_NO_LANGUAGE = "zxx"
_DIALECTS = {"arz": "ar", "ary": "ar"}  # which of them, single words do not show

_RELATIVES = tuple(
    frozenset(group.split())
    for group in (
        "no nb nn da",
        "hr bs sr sh",
        "id ms min bjn ace jv su ban",
        "xh zu ss nr nd",
        "st nso tn",
        "ur hi",
        "hi mr ne sa mai bho awa mag hne gom",
        "bn as",
        "ar acm acq aeb ajp apc ars ary arz",
        "fa prs tg",
        "ku ckb sdh",
        "cs sk",
        "es ast an ext gl ca oc",
        "pt gl",
        "it lij lmo vec scn fur co",
        "de lb",
        "nl li",
        "bg mk",
        "rw rn",
        "tr az crh azb",
        "tt ba",
        "kk ky",
        "lv ltg",
        "zh yue wuu",
        "tl fil pag ilo ceb war bcl",
        "ht gcf gcr",
        "ga gd gv",
        "tn ts ve",
    )
)
"""Languages that word lists do not tell apart well."""


def looks_like(words: Sequence[str], claimed: str) -> str | None:
    """The code of the language that `words` are clearly in, where that is not the `claimed` one or a near relative.

    None too where nothing can be said: too few words, a language that the classifier does not know, samples that
    disagree.
    """
    akin = _akin(base_code(claimed))
    if not any(base_code(label) in akin for label in _classifier().labels):
        return None
    votes = _votes(words)
    guess = _winner(votes)
    claimants = sum(votes[language] for language in akin)
    return guess if guess and guess not in akin and claimants <= _STRAYS * votes.total() else None


def guess_in_words(words: Sequence[str]) -> str:
    """The language that `words` are clearly in, as `German (de)`; "" where that is not clear."""
    return in_words(_winner(_votes(words)))


def in_words(code: str) -> str:
    """`German (de)` of a code; the code alone for a language without a name here."""
    return f"{LANGUAGES[code]} ({code})" if code in LANGUAGES else code


def _akin(code: str) -> frozenset[str]:
    """A language and its near relatives."""
    return frozenset({code}).union(*(group for group in _RELATIVES if code in group))


def _winner(votes: Counter[str]) -> str:
    """The language that nearly all samples are in, those in its relatives counted; "" where there is none."""
    for guess, _ in votes.most_common(1):
        agreeing = sum(votes[language] for language in _akin(guess))
        return guess if guess and agreeing >= _AGREEING * votes.total() else ""
    return ""


def _votes(words: Sequence[str]) -> Counter[str]:
    """How many samples are in which language; "" counts those that are not clear."""
    count = min(_SAMPLES, len(words) // _FEWEST_WORDS)
    votes: Counter[str] = Counter()
    for start in range(count):
        sample = words[start::count]
        sample = sample[:: max(1, len(sample) // _SAMPLE_WORDS)][:_SAMPLE_WORDS]
        ranked = [
            (_DIALECTS.get(label, base_code(label)), share) for label, share in _classifier().rank(", ".join(sample))
        ]
        best = ranked[0][0]
        # Relatives share what is certain: Spanish is seldom much likelier than Galician, but they together are.
        certain = sum(share for language, share in ranked if language in _akin(best))
        votes[best if certain >= _CONFIDENCE and best != _NO_LANGUAGE else ""] += 1
    return votes


@cache
def _classifier():
    # Loads numpy and a model in about a second: only where there is something to judge.
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
