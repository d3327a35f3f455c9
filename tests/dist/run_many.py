"""Runs many stages in one launch, because a launch costs seconds and a tiny stage does not.

torchrun ... tests/dist/run_many.py JOBS.json, a list of {config, stage, overrides}.
"""

import json
import sys

from lingualift_ds.cli.errors import end_process
from lingualift_ds.config.load import load_config
from lingualift_ds.train.run import run_stage
from lingualift_ds.train.stages import find_stage

if __name__ == "__main__":
    for job in json.load(open(sys.argv[1])):
        print("job", job, flush=True)
        run_stage(load_config(job["config"], job["overrides"]), find_stage(str(job["stage"])), "never", job["config"])
    end_process(0)
