"""Trains with a loss that is not a number on rank 1 in step 2, and an infinite gradient on rank 0 in step 4, and holds
that neither changes a weight.

torchrun --nproc_per_node 2 tests/dist/nonfinite_steps.py JOBS.json, a list as run_many.py takes it.
"""

import json
import sys

import torch

from lingualift_ds import dist
from lingualift_ds.cli.errors import end_process
from lingualift_ds.config.load import load_config
from lingualift_ds.engine.step import Engine
from lingualift_ds.errors import TrainingError
from lingualift_ds.model.groups import checksum
from lingualift_ds.train.run import run_stage
from lingualift_ds.train.stages import find_stage

forward, update = Engine.forward, Engine.step
BAD_LOSS, BAD_GRADIENT = 2, 4


def spoilt_forward(engine: Engine, batch: dict) -> torch.Tensor:
    """The loss, spoilt on one rank while training, or with a backward that spoils the gradient."""
    loss, step, rank = forward(engine, batch), dist.HERE.step, dist.read_place().rank
    if not engine.module.training or dist.HERE.phase == "saving":
        return loss
    if (rank, step) == (1, BAD_LOSS):
        return loss * float("nan")
    if (rank, step) == (0, BAD_GRADIENT):
        loss.register_hook(lambda gradient: gradient * float("inf"))
    return loss


def watched_update(engine: Engine) -> bool:
    """The update, which must change the trained weights where it says so, and nothing where it does not."""
    before, last = trained(engine), engine._last
    updated = update(engine)
    changed = dist.any_rank(trained(engine) != before)
    assert changed == (updated and last), (dist.HERE.step, updated, last, changed)
    assert updated == (not last or dist.HERE.step not in (BAD_LOSS, BAD_GRADIENT)), (dist.HERE.step, updated)
    return updated


def trained(engine: Engine) -> list[int]:
    return [checksum(engine.shard(p)) for p in engine.module.parameters() if p.requires_grad]


if __name__ == "__main__":
    Engine.forward, Engine.step = spoilt_forward, watched_update
    for job in json.load(open(sys.argv[1])):
        config = load_config(job["config"], job["overrides"])
        stage = find_stage(config, str(job["stage"]))
        try:
            run_stage(config, stage, "never", job["config"])
        except TrainingError as error:
            if dist.read_place().is_main:
                print(f"{config.run.output}: {error}", flush=True)
    end_process(0)
