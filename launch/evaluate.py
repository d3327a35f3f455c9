"""Evaluate a model on benchmarks, the questions shared among processes.

    deepspeed launch/evaluate.py --model runs/NAME/stage2 --tasks mgsm,xnli --data DIR --output DIR

The same under torchrun, srun (one task per GPU) or plain python (one process); any number of processes gives the
same results, and goes on where a killed one stopped.
"""

from lingualift_ds.cli.errors import end_process
from lingualift_ds.cli.evaluate import main

if __name__ == "__main__":
    end_process(main())
