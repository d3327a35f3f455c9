"""The lexicon of a language from its files, with what looks wrong about them."""

from collections.abc import Sequence
from pathlib import Path

from lingualift_ds.data.lexicon.columns import Columns
from lingualift_ds.data.lexicon.doubts import doubts_of, swapped
from lingualift_ds.data.lexicon.entries import Lexicon, LexiconBuilder
from lingualift_ds.data.lexicon.files import read_pairs
from lingualift_ds.data.lexicon.identify import guess_in_words
from lingualift_ds.data.scripts import script_check, script_names
from lingualift_ds.errors import DataError
from lingualift_ds.log import get_logger

_logger = get_logger("lexicon")

_WRONG_SCRIPT_SHARE = 0.9
"""A file of which more than this share is in another script is a lexicon of another language."""


def read_lexicon(
    paths: Path | str | Sequence[Path | str],
    language: str,
    *,
    columns: Columns | str | None = None,
    unclean: Sequence[str] = (),
) -> Lexicon:
    """Read and clean the word lists of one language, of any of the kinds that `read_pairs` reads.

    Of several files the first decides the order of translations; the frequencies of a pair in several are added. What
    looks wrong without being refused is logged.

    Args:
        columns: which columns of a table, or keys of JSON objects, hold what (see `Columns.parse`); None: found by
            their names.
        unclean: cleaning steps to leave out, by name (see STEPS).

    Raises:
        DataError: where a file cannot be read, more than 90 % of its pairs are in another script than the language's,
            or no usable pair is left.
        ConfigError: for columns or steps that cannot be meant.
    """
    lexicon, wrong = gather_lexicon(paths, language, columns, unclean)
    if wrong:
        raise DataError(wrong[0])
    if not lexicon.entries:
        counts = ", ".join(f"{n} {reason}" for reason, n in lexicon.dropped.items()) or "nothing"
        raise DataError(
            f"{lexicon.source}: no usable pair in the lexicon (dropped: {counts}); "
            "lines of English word, TAB or space, translation are needed, or a table or JSON with named columns"
        )
    for doubt in doubts_of(lexicon):
        _logger.warning(doubt)
    return lexicon


def gather_lexicon(
    paths: Path | str | Sequence[Path | str],
    language: str,
    columns: Columns | str | None = None,
    unclean: Sequence[str] = (),
) -> tuple[Lexicon, list[str]]:
    """As `read_lexicon`, but nothing is refused once it could be read: with the lexicon, perhaps without an entry, come
    the messages for files in another script."""
    paths = (paths,) if isinstance(paths, Path | str) else tuple(paths)
    columns = Columns.parse(columns) if isinstance(columns, str) else columns
    builder = LexiconBuilder(language, unclean)
    wrong = []
    for path in paths:
        usable, foreign = builder.usable, builder.foreign
        builder.add(read_pairs(path, language, columns))
        usable, foreign = builder.usable - usable, builder.foreign - foreign
        if foreign > _WRONG_SCRIPT_SHARE * (usable + foreign):
            share = f"{100 * foreign / (usable + foreign):.0f} %"
            wrong.append(_wrong_script(path, language, columns, share))
    return builder.build(tuple(map(str, paths))), wrong


def _wrong_script(path: Path | str, language: str, columns: Columns | None, share: str) -> str:
    """The line that says what a file in another script may be. It is read once more, for words to guess from."""
    builder = LexiconBuilder(language, ("script",))
    builder.add(read_pairs(path, language, columns, quiet=True))
    entries = builder.build().entries
    said = f"{path}: {share} of its pairs are not in {script_names(language)} script"
    native, latin = script_check(language), script_check("en")
    if 2 * sum(native.holds(english) and not latin.holds(english) for english in entries) > len(entries):
        return f"{said}; {swapped(language)}"
    looks = guess_in_words([translations[0] for translations in entries.values()])
    return f"{said}; is it a lexicon of another language?" + (f" it looks like {looks}" if looks else "")
