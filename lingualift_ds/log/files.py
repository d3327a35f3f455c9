"""A log file per rank: FOLDER/rank-00001.log, appended over restarts."""

import os
import socket
import sys
import time
from pathlib import Path

from lingualift_ds import __version__
from lingualift_ds.log.libraries import capture_libraries
from lingualift_ds.log.outlet import outlet, rank


def log_to(folder: Path) -> Path:
    """Write this rank's lines to its file in `folder` from here on, and those that were said before; returns its path.

    A line beginning with ==== says which process starts: its number, host and rank, and the command. Other packages'
    lines, warnings and uncaught exceptions go there too (`capture_libraries`). A folder that cannot be written is a
    warning, and nothing else changes. A second call goes on in another folder.
    """
    path = Path(folder) / f"rank-{rank():05d}.log"
    told = f"process {os.getpid()} on {socket.gethostname()}, rank {rank()}, lingualift_ds {__version__}"
    outlet.open(path, f"==== {time.strftime('%Y-%m-%d %H:%M:%S')} {told}: {' '.join(sys.argv)}")
    capture_libraries()
    return path
