"""Bilingual lexicons: word lists of any kind, read, cleaned and described."""

from lingualift_ds.data.lexicon.entries import (
    DROP_REASONS,
    Lexicon,
    build_lexicon,
    clean_pair,
    find_lexicons,
    fold,
    read_lexicon,
    read_pairs,
)

__all__ = [
    "DROP_REASONS",
    "Lexicon",
    "build_lexicon",
    "clean_pair",
    "find_lexicons",
    "fold",
    "read_lexicon",
    "read_pairs",
]
