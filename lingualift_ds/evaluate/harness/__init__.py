"""Evaluation through lm-evaluation-harness: our model for its tasks, our benchmarks as its tasks."""
