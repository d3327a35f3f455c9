"""Code-switching: English text with some words replaced by their translations, the data of Stage I."""

from lingualift_ds.data.codeswitch.block import Change
from lingualift_ds.data.codeswitch.curriculum import Languages, Ratio
from lingualift_ds.data.codeswitch.stage1 import STAGE1_INSTRUCTION, English, Stage1Maker
from lingualift_ds.data.codeswitch.switcher import CodeSwitcher, Sample, Switched

__all__ = [
    "STAGE1_INSTRUCTION",
    "Change",
    "CodeSwitcher",
    "English",
    "Languages",
    "Ratio",
    "Sample",
    "Stage1Maker",
    "Switched",
]
