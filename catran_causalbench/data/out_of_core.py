"""A matrix of all cells, in memory or, where memory is short, in a temporary file."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np
import psutil

from catran_causalbench.errors import InputError

# A matrix that takes a larger share of the available memory goes to a file, because training needs memory too.
_SHARE_OF_MEMORY = 0.5
_CONTROL_GROUPS = Path("/sys/fs/cgroup")
_OWN_GROUP = Path("/proc/self/cgroup")


def allocate_matrix(cells: int, genes: int) -> np.ndarray:
    """Allocate an uninitialised float32 matrix, cells × genes.

    A file lies in the directory for temporary files (``TMPDIR``, which should be on a disk, not in memory). It has no
    name and disappears with the array; the operating system caches as much of it in memory as fits.

    Raises
    ------
    InputError
        Neither the memory nor that directory has enough room.
    """
    size = cells * genes * np.dtype(np.float32).itemsize
    if size <= _SHARE_OF_MEMORY * _memory_available():
        return np.empty((cells, genes), np.float32)
    with tempfile.TemporaryFile(prefix="catran-") as file:
        try:
            if hasattr(os, "posix_fallocate"):  # not on macOS, where a full disk would end the process at some write
                os.posix_fallocate(file.fileno(), 0, size)
        except OSError as error:
            found = f"{cells} cells × {genes} genes, too many for memory and for {tempfile.gettempdir()}"
            expected = f"{size / 1e9:.1f} GB in the directory that TMPDIR names, or fewer genes"
            raise InputError.of("expression_matrix", f"{found} ({error.strerror})", expected) from None
        return np.memmap(file, np.float32, "w+", shape=(cells, genes)).view(np.ndarray)


def _memory_available() -> int:
    """Return the bytes that the machine has left, or the job or container if it may use fewer (control groups v2)."""
    rooms = [psutil.virtual_memory().available]
    try:
        group = _CONTROL_GROUPS / _OWN_GROUP.read_text().strip().rpartition("::/")[2]
    except OSError:
        return rooms[0]
    while group.is_relative_to(_CONTROL_GROUPS):
        try:
            limit, taken = (int((group / f"memory.{name}").read_text()) for name in ("max", "current"))
            details = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
            pages_of_files = int(details.get("inactive_file", 0))  # counted as used, but released on demand
            rooms.append(limit - taken + pages_of_files)
        except (OSError, ValueError):  # no such file, or "max": this group sets no limit
            pass
        group = group.parent
    return min(rooms)
