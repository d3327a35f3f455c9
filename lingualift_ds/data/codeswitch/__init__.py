"""Code-switching: English text with some words replaced by their translations, the data of Stage I."""

from lingualift_ds.data.codeswitch.curriculum import Languages, Ratio
from lingualift_ds.data.codeswitch.stage1 import STAGE1_INSTRUCTION, Stage1Maker
from lingualift_ds.data.codeswitch.switcher import Change, CodeSwitcher, Switched

__all__ = ["STAGE1_INSTRUCTION", "Change", "CodeSwitcher", "Languages", "Ratio", "Stage1Maker", "Switched"]
