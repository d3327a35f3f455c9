"""The bridged model: a multilingual encoder, the language alignment layer, and an English-centric LLM."""
