"""What a stage's training works with, and how far it has come."""

from dataclasses import dataclass, field

from lingualift_ds.checkpoint.store import CheckpointStore
from lingualift_ds.config.schema import StageConfig
from lingualift_ds.data.loader import StepLoader
from lingualift_ds.engine.step import Engine
from lingualift_ds.log import MetricsWriter
from lingualift_ds.train.heldout import Heldout
from lingualift_ds.train.preempt import Notice
from lingualift_ds.train.probe import Probe
from lingualift_ds.train.profile import StepTrace
from lingualift_ds.train.state import Progressed


@dataclass
class Run:
    """Everything the loop works with; built in train/run.py."""

    label: str
    settings: StageConfig
    engine: Engine
    loader: StepLoader
    heldout: Heldout | None
    store: CheckpointStore
    probe: Probe
    metrics: MetricsWriter
    total_steps: int
    facts: dict
    """What every checkpoint's manifest says of this run."""
    progressed: Progressed = field(default_factory=Progressed)
    trace: StepTrace | None = None
    pauses: dict[str, float] = field(default_factory=dict)
    """Seconds that a checkpoint took since the last step that reported any."""
    waited: float = 0.0
    """Seconds that training waited for the last checkpoint."""
    written: bool = False
    """Whether all ranks have written the checkpoint that was begun."""
    choices: dict[str, str] = field(default_factory=dict)
    """What was chosen by itself and why; the first step of a process reports it."""
    notice: Notice = field(default_factory=lambda: Notice(None))
    told: bool = False
    """Whether all ranks know that they leave after this step."""
    step_seconds: float = 0.0
    """Of the last step, over all ranks alike; 0 before the first."""
    saved_step: int | None = None
    """Step of the newest checkpoint in place."""
    skipped_in_a_row: int = 0
    unmeasured: dict | None = None
    """The record of a step whose held-out loss is still to be measured."""
