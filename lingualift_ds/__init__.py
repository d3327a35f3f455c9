"""LinguaLIFT on DeepSpeed: reasoning in languages an LLM barely knows, from English training data.

Importing this package pulls in no torch, so that the command line answers at once.
"""

__version__ = "0.1.0"
