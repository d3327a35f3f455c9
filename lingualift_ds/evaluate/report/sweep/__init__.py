"""The report on a sweep: the paper's figures, means over seeds, differences from the baseline."""
