"""White-space tokens for encoder tokenizers that drop newlines and runs of spaces, as T5's do.

The white-space tokens become tokens of the tokenizer, and each shares the embedding row of a vocabulary entry
that text never contains (a sentinel), or a spare row behind the vocabulary. Nothing is added to the embedding,
so nothing of it has to be trained: the encoder stays frozen, bit for bit.
"""

from transformers import PreTrainedTokenizerBase

WHITESPACE = ("\n", "\t", "\r", "\v", "\f", "    ", "   ", "  ")


def add_whitespace_tokens(tokenizer: PreTrainedTokenizerBase, embedding_rows: int) -> dict[int, int]:
    """Add the white-space tokens this tokenizer drops; returns {id of the token: embedding row it uses}.

    Empty where the tokenizer keeps white space, or where the embedding has no row to lend.
    """
    size = len(tokenizer)
    dropped = [w for w in WHITESPACE if _drops(tokenizer, w)]
    rows = _rows_to_lend(tokenizer, embedding_rows)
    if not dropped or len(rows) < len(dropped):
        return {}
    tokenizer.add_tokens(_as_tokens(dropped))
    ids = tokenizer.convert_tokens_to_ids(dropped)
    assert all(i >= size for i in ids), "a dropped white-space token was already in the vocabulary"
    return dict(zip(ids, rows))


def drops_whitespace(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether this tokenizer loses any of WHITESPACE."""
    return any(_drops(tokenizer, w) for w in WHITESPACE)


def _as_tokens(texts: list[str]) -> list:
    from tokenizers import AddedToken

    return [AddedToken(t, normalized=False, lstrip=False, rstrip=False) for t in texts]


def _drops(tokenizer: PreTrainedTokenizerBase, whitespace: str) -> bool:
    """Whether this white space is tokenised as a single space is, or as unknown."""
    if tokenizer.convert_tokens_to_ids(whitespace) not in (None, tokenizer.unk_token_id):
        return False
    with_it = tokenizer(f"a{whitespace}b", add_special_tokens=False)["input_ids"]
    with_space = tokenizer("a b", add_special_tokens=False)["input_ids"]
    return with_it == with_space or tokenizer.unk_token_id in with_it


def _rows_to_lend(tokenizer: PreTrainedTokenizerBase, embedding_rows: int) -> list[int]:
    vocabulary = tokenizer.get_vocab()
    sentinels = [i for t, i in vocabulary.items() if t.lstrip("▁").startswith("<extra_id_") and i < embedding_rows]
    spare = range(len(tokenizer), embedding_rows)
    return sorted(sentinels, reverse=True) or list(spare)
