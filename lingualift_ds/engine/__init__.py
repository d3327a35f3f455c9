"""DeepSpeed, and nothing else: the only room that imports it. What DeepSpeed reads on import is set here."""

import os

import torch

from lingualift_ds.log import quiet_libraries

quiet_libraries()
os.environ.setdefault("DEEPSPEED_LOG_LEVEL", "warning")
if not torch.accelerator.is_available():
    os.environ.setdefault("DS_ACCELERATOR", "cpu")
