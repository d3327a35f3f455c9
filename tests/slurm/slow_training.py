"""launch/train.py with slow steps, until the job has been requeued: a signal finds it training on any machine.

SECONDS_A_STEP=2 python slow_training.py launch/train.py --stage 1 ...
"""

import os
import runpy
import sys
import time

from lingualift_ds.log import MetricsWriter


def slow_down(seconds: float) -> None:
    """Rank 0 takes this long to write down a step; the others wait for it in the next one."""
    write = MetricsWriter.write

    def slowly(writer: MetricsWriter, record: dict) -> None:
        write(writer, record)
        time.sleep(seconds)

    MetricsWriter.write = slowly


if __name__ == "__main__":
    if "SLURM_RESTART_COUNT" not in os.environ:
        slow_down(float(os.environ.get("SECONDS_A_STEP", "0")))
    del sys.argv[0]
    runpy.run_path(sys.argv[0], run_name="__main__")
