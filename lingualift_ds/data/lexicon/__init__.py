"""Bilingual lexicons: word lists of any kind, found, read, cleaned and described."""

from lingualift_ds.data.lexicon.cleaning import DROP_REASONS, STEPS, Step, check_unclean, fold
from lingualift_ds.data.lexicon.columns import Columns
from lingualift_ds.data.lexicon.entries import Lexicon, build_lexicon
from lingualift_ds.data.lexicon.files import read_pairs
from lingualift_ds.data.lexicon.naming import find_lexicons
from lingualift_ds.data.lexicon.reading import read_lexicon

__all__ = [
    "Columns",
    "DROP_REASONS",
    "Lexicon",
    "STEPS",
    "Step",
    "build_lexicon",
    "check_unclean",
    "find_lexicons",
    "fold",
    "read_lexicon",
    "read_pairs",
]
