"""Code-switching: English text with some words replaced by their translations, the data of Stage I."""

from lingualift_ds.data.codeswitch.switcher import (
    STAGE1_INSTRUCTION,
    CodeSwitcher,
    Switched,
    make_stage1_records,
    parse_ratio,
    stage1_record,
)

__all__ = ["STAGE1_INSTRUCTION", "CodeSwitcher", "Switched", "make_stage1_records", "parse_ratio", "stage1_record"]
