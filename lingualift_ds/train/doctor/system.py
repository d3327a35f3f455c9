"""What the system allows a process: encoding, open files, shared memory."""

import locale
import os
import resource
import shutil
from collections.abc import Iterator

from lingualift_ds.train.doctor.line import NOTE, OK, Line

_FILES = 1024
_SHARED = 1e9
_SHM = "/dev/shm"


def encoding() -> Iterator[Line]:
    """What texts are printed in; files are UTF-8 wherever we are."""
    name = locale.getpreferredencoding(False)
    fits = name.lower().replace("-", "") == "utf8"
    means = "" if fits else "texts of many languages cannot be shown; set LANG=C.UTF-8"
    yield Line("encoding", name, OK if fits else NOTE, means)


def open_files() -> Iterator[Line]:
    """How many files a process may hold open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = soft == resource.RLIM_INFINITY
    few = not unlimited and soft < _FILES
    means = f"few: raise it with ulimit -n {_FILES}" if few else ""
    yield Line("open files", "unlimited" if unlimited else str(soft), NOTE if few else OK, means)


def shared_memory() -> Iterator[Line]:
    """/dev/shm, through which processes on one node pass tensors."""
    if not os.path.isdir(_SHM):
        yield Line(_SHM, "none", NOTE, "NCCL on one node may fail")
        return
    size = shutil.disk_usage(_SHM).total
    means = "small: NCCL on one node may fail; docker run --shm-size=8g" if size < _SHARED else ""
    yield Line(_SHM, f"{size / 1e9:.1f} GB", NOTE if means else OK, means)
