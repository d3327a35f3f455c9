"""Measuring a model: benchmark files, reading the number out of an answer, harness and report."""
