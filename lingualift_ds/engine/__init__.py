"""DeepSpeed, and nothing else: the only room that imports it. What DeepSpeed reads on import is set here."""

import os
import sys

import torch

from lingualift_ds.log import quiet_libraries

quiet_libraries()
os.environ.setdefault("DEEPSPEED_LOG_LEVEL", "warning")
if not torch.accelerator.is_available():
    os.environ.setdefault("DS_ACCELERATOR", "cpu")
if sys.prefix != sys.base_prefix and os.access(sys.prefix, os.W_OK):
    # Two environments that share a folder of compiled ops each compile them again whenever the other one has.
    os.environ.setdefault("TORCH_EXTENSIONS_DIR", os.path.join(sys.prefix, "torch_extensions"))
