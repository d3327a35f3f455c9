"""What other packages say: their log lines, Python's warnings and uncaught exceptions, said as our own are."""

import logging
import os
import sys
import threading
import traceback
import warnings
from types import TracebackType
from typing import TextIO

from lingualift_ds.log.outlet import outlet, rank

_hooked = False


def quiet_libraries() -> None:
    """Keep other packages' notices that a user can do nothing about out of the log. Call before importing them."""
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    # DeepSpeed 0.19 calls collectives that torch 2.13 has renamed.
    warnings.filterwarnings("ignore", category=FutureWarning, message=".*torch.distributed.*is deprecated")
    warnings.filterwarnings("ignore", category=UserWarning, module="torch.distributed.*")


def capture_libraries() -> None:
    """From here on other packages' lines and warnings are said once a process, on stderr by rank 0 alone, and what ends
    a process uncaught stands in its file too.

    Call after importing them: each package that has put its own handler on the console loses it. Again does no harm.
    """
    global _hooked
    root = logging.getLogger()
    if outlet not in root.handlers:
        root.addHandler(outlet)
    for logger in [root, *(each for each in root.manager.loggerDict.values() if isinstance(each, logging.Logger))]:
        for handler in [each for each in logger.handlers if _writes_to_console(each)]:
            logger.removeHandler(handler)
            if not logger.propagate and outlet not in logger.handlers:
                logger.addHandler(outlet)
    if not _hooked:
        _hooked = True
        warnings.showwarning = _show_warning
        sys.excepthook = _uncaught
        threading.excepthook = _uncaught_in_thread


def _writes_to_console(handler: logging.Handler) -> bool:
    streams = (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__)
    return isinstance(handler, logging.StreamHandler) and any(getattr(handler, "stream", None) is s for s in streams)


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """`warnings.showwarning`, as one line."""
    if file is not None:
        file.write(warnings.formatwarning(message, category, filename, lineno, line))
        return
    said = " ".join(str(message).split())
    logging.getLogger("py.warnings").warning("%s: %s (%s:%d)", category.__name__, said, filename, lineno)


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """`sys.excepthook`: the traceback on stderr, with the rank, and in its file."""
    if not issubclass(kind, KeyboardInterrupt):
        outlet.record("".join(traceback.format_exception(kind, error, trace)).rstrip())
    if rank() and not issubclass(kind, KeyboardInterrupt):
        outlet.say("".join(traceback.format_exception(kind, error, trace)).rstrip(), rank())
    else:
        sys.__excepthook__(kind, error, trace)


def _uncaught_in_thread(arguments: threading.ExceptHookArgs) -> None:
    """`threading.excepthook`: the same for a thread."""
    if arguments.exc_value is None or issubclass(arguments.exc_type, SystemExit):
        return
    name = arguments.thread.name if arguments.thread else "?"
    said = traceback.format_exception(arguments.exc_type, arguments.exc_value, arguments.exc_traceback)
    text = f"Exception in thread {name}:\n{''.join(said)}".rstrip()
    outlet.record(text)
    outlet.say(text, rank())
