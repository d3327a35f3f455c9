"""Alignment seen: where sentences of several languages lie in the encoder, after the alignment layer, in the LLM."""
