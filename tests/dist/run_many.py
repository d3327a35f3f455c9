"""Runs many stages in one launch, because a launch costs seconds and a tiny stage does not.

torchrun ... tests/dist/run_many.py JOBS.json, a list of {config, stage, overrides} and, where it is not "never", resume.
"""

import gc
import json
import sys

from lingualift_ds.cli.errors import end_process
from lingualift_ds.config.load import load_config
from lingualift_ds.train.run import run_stage
from lingualift_ds.train.stages import find_stage

if __name__ == "__main__":
    gc.freeze()  # DeepSpeed collects garbage for every engine, through all that was imported
    for job in json.load(open(sys.argv[1])):
        print("job", job, flush=True)
        config = load_config(job["config"], job["overrides"])
        stage = find_stage(config, str(job["stage"]))
        run_stage(config, stage, job.get("resume", "never"), job["config"])
    end_process(0)
