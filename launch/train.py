"""Train one stage of LinguaLIFT.

    deepspeed launch/train.py --stage 1 [--config launch/recipes/NAME.yaml] [--resume auto|must|never] \
        [key.path=value ...]

The same under torchrun, srun (one task per GPU) or plain python (one process).
"""

from lingualift_ds.cli.errors import end_process
from lingualift_ds.cli.train import main

if __name__ == "__main__":
    end_process(main())
