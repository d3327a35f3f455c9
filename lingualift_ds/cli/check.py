"""`lingualift-ds check`: a dry run of a stage's settings, on any machine: nothing is trained or written.

lingualift-ds check --config launch/recipes/NAME.yaml --stage 1 --world-size 8
"""

import argparse
import json
import sys
from pathlib import Path

from lingualift_ds.config.batch import plan_batch
from lingualift_ds.config.check import check_config
from lingualift_ds.config.ds_json import build_ds_config
from lingualift_ds.config.load import dump_config, load_config
from lingualift_ds.errors import ConfigError
from lingualift_ds.train.stages import find_stage


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the command `check`."""
    parser = subparsers.add_parser("check", help="a dry run: resolved config, batch arithmetic, DeepSpeed's config")
    parser.add_argument("--config", required=True, metavar="F", help="a recipe")
    parser.add_argument("--stage", required=True, help="1 or 2")
    parser.add_argument("--world-size", type=int, default=1, metavar="N", help="ranks to plan for (1)")
    parser.add_argument("overrides", nargs="*", metavar="key.path=value", help="settings that override the recipe")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the resolved config, the batch plan and the DeepSpeed config. Raises ConfigError."""
    if arguments.world_size < 1:
        raise ConfigError(f"--world-size {arguments.world_size}: must be at least 1")
    stage = find_stage(arguments.stage)
    config = load_config(arguments.config, arguments.overrides)
    check_config(config, stage.number, arguments.config)
    settings = config.stage(stage.number)
    batch = plan_batch(settings.batch, arguments.world_size)
    monitor = Path(config.run.output) / stage.folder / "monitor"
    ds_config = build_ds_config(config.run, config.model, settings, batch, monitor)
    trained = ", ".join(stage.trained(settings))
    sys.stdout.write(
        f"{dump_config(config)}\nstage {stage.number}, {stage.name}: trains {trained}\n{batch}\n"
        f"DeepSpeed: {json.dumps(ds_config, indent=2)}\n"
    )
    return 0
