"""Random models for a rehearsal: they load as any others do, and their tokenizers know their corpus."""

import tiny

from lingualift_ds.miniature.random_models import build_random_models
from lingualift_ds.model.encoders import load_encoder
from lingualift_ds.model.llms import check_tokenizer, load_llm
from lingualift_ds.model.loading import read_config, read_tokenizer


def test_they_load_and_write_the_corpus_back(tmp_path):
    corpus = tiny.write_rows(tmp_path / "rows.jsonl", 30)
    build_random_models([corpus], tmp_path / "models", seed=0, vocabulary=400)
    name = str(tmp_path / "models/encoder")
    encoder_tokenizer = read_tokenizer(name, "model.encoder")
    text = "Ann has 3 apples and buys 4 more."
    ids = encoder_tokenizer(text)["input_ids"]
    assert ids[-1] == encoder_tokenizer.eos_token_id
    assert encoder_tokenizer.decode(ids, skip_special_tokens=True) == text
    encoder = load_encoder(name, read_config(name, "model.encoder"), "bf16")
    assert encoder.config.hidden_size == 384
    name = str(tmp_path / "models/llm")
    llm_tokenizer = read_tokenizer(name, "model.llm")
    check_tokenizer(llm_tokenizer, name)
    strange = "ఎంత? 7\n\tయ"
    assert llm_tokenizer.decode(llm_tokenizer(strange, add_special_tokens=False)["input_ids"]) == strange
    assert load_llm(name, "bf16", "sdpa").config.vocab_size == len(llm_tokenizer)
