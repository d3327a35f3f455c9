"""Benchmarks as files: from a task's folder to questions, each with the answer to compare with.

Everything is local: JSON lines, JSON, TSV, CSV or Parquet, as published or in another of these formats; nothing is
downloaded and no loading script runs. A task is stated as data in TASKS: how its files are named and how a row of one
becomes a question.
"""

from lingualift_ds.evaluate.benchmarks.files import find_files
from lingualift_ds.evaluate.benchmarks.loading import load_benchmark
from lingualift_ds.evaluate.benchmarks.question import Question, Task
from lingualift_ds.evaluate.benchmarks.tasks import TASKS, XCSQA_INSTRUCTION, XNLI_INSTRUCTION

__all__ = ["TASKS", "XCSQA_INSTRUCTION", "XNLI_INSTRUCTION", "Question", "Task", "find_files", "load_benchmark"]
