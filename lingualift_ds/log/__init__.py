"""Everything the toolkit says: lines on the terminal, a file per rank, progress, metrics.jsonl. No other room prints,
`cli/` apart."""

from lingualift_ds.log.files import log_to
from lingualift_ds.log.libraries import capture_libraries, quiet_libraries
from lingualift_ds.log.metrics import MetricsWriter
from lingualift_ds.log.outlet import get_logger, rank, take_warnings, tell, tell_warnings, untold_warnings
from lingualift_ds.log.progress import Progress, duration

__all__ = [
    "MetricsWriter",
    "Progress",
    "capture_libraries",
    "duration",
    "get_logger",
    "log_to",
    "quiet_libraries",
    "rank",
    "take_warnings",
    "tell",
    "tell_warnings",
    "untold_warnings",
]
