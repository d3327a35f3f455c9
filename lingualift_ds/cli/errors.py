"""How a command ends: a user's error is one clear line and exit code 2, ours keeps its traceback."""

import os
import sys
from collections.abc import Callable

from lingualift_ds.errors import TrainingError, UserError
from lingualift_ds.log import rank


def run_command(command: Callable[[], int | None], traceback: bool = False) -> int:
    """Run a command and give its exit code. `traceback` shows where a user's error was raised."""
    try:
        return command() or 0
    except (UserError, TrainingError) as error:
        if traceback:
            raise
        if rank() == 0:
            sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of our output, such as `head`, has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
