"""What about a lexicon looks wrong and can be told at no cost, whenever it is read; `lexicon report` looks closer."""

from collections import Counter
from collections.abc import Collection

from lingualift_ds.data.lexicon.cleaning import DROP_REASONS
from lingualift_ds.data.lexicon.entries import Lexicon

_SUSPICIOUS_DROPS = 0.5
_SUSPICIOUS_IDENTITY = 0.9
"""MUSE's lexicons have names that stay as they are in up to two thirds of their pairs."""
_NO_FLAW = frozenset({"duplicate", "untranslated", "other language"})
"""Reasons for which much is dropped of files that hold more than one lexicon, and nothing is wrong with them."""
_FEWEST_ENTRIES = 20
_DISTINCT = 0.2
"""Different first translations by entry: fewer are no translations. MUSE's and AfroMT's lexicons have 0.57 to 0.88."""
_LISTED = 3
_COMMON = frozenset(
    "the and of from with for not you this that they have has had which would their there about what who when "
    "where because after before people water house child children father mother woman women man men day night "
    "year good bad big small long new old white black red eye ear mouth head hand foot heart blood fire sun moon "
    "star stone tree leaf dog cat cow bird fish goat egg milk salt food bread eat drink sleep see hear know think "
    "give take come go walk run speak say said ask buy sell work book school teacher money market road door name "
    "word language country village city king war peace love friend brother sister husband wife time today "
    "tomorrow yesterday morning evening one two three four five six seven eight nine ten always never again only "
    "also very many all some other first last".split()
)
"""English that every word list has some of."""
_FEWEST_COMMON = 10


def doubts_of(lexicon: Lexicon, said: Collection[str] = ()) -> list[str]:
    """The warnings about a lexicon, a line each; none for one without an entry, nor for reasons of drops in `said`."""
    if not lexicon.entries:
        return []
    doubts = [_sides(lexicon), _few(lexicon), _much_dropped(lexicon, said)]
    return [f"{lexicon.source}: {doubt}" for doubt in doubts if doubt]


def swapped(language: str) -> str:
    """What is said of a file whose sides are not where its name says."""
    return (
        f"its sides look swapped: en-{language}.txt is the name where the English comes first, "
        f"{language}-en.txt where it comes second"
    )


def _sides(lexicon: Lexicon) -> str:
    """Common English words among the translations, and hardly any among the English."""
    known = sum(word in lexicon.entries for word in _COMMON)
    if 3 * known > len(_COMMON):
        return ""
    translations = {word for words in lexicon.entries.values() for word in words}
    there = sum(word in translations for word in _COMMON)
    return swapped(lexicon.language) if there >= max(_FEWEST_COMMON, 3 * known) else ""


def _few(lexicon: Lexicon) -> str:
    """Entries that share a handful of translations, as where another column was taken for them."""
    entries = len(lexicon)
    counts = Counter(words[0] for words in lexicon.entries.values())
    if entries < _FEWEST_ENTRIES or len(counts) > _DISTINCT * entries:
        return ""
    commonest = ", ".join(f"{word} ({count:,})" for word, count in counts.most_common(_LISTED))
    return (
        f"{entries:,} entries have only {len(counts):,} different first translations, most often {commonest}; where "
        "the translation is in another column, name it: --columns english=1,translation=3"
    )


def _much_dropped(lexicon: Lexicon, said: Collection[str]) -> str:
    flaws = {reason: count for reason, count in lexicon.dropped.items() if reason not in _NO_FLAW}
    whole = sum(flaws.values()) + lexicon.pairs
    if flaws.get("identity", 0) <= _SUSPICIOUS_IDENTITY * whole:
        whole -= flaws.pop("identity", 0)
    main = max(flaws, key=flaws.__getitem__, default="")
    if sum(flaws.values()) <= _SUSPICIOUS_DROPS * whole or main in said:
        return ""
    share = f"{100 * sum(flaws.values()) / whole:.0f} %"
    return f"{share} of its pairs were dropped, most of them ({flaws[main]:,}) as {main!r}: {DROP_REASONS[main]}"
