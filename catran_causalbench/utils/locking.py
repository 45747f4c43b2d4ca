"""Directories to which only one process writes at a time."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from catran_causalbench.errors import InputError

_LOG = logging.getLogger(__name__)


@contextmanager
def lock_directory(folder: Path, field: str, work: str) -> Iterator[None]:
    """Make a directory and lock it; the lock ends with the process, however it ends.

    Parameters
    ----------
    folder
        Where the block will write.
    field
        What the user called it.
    work
        What is done there, for messages: "run", "sweep" or "download".

    Raises
    ------
    InputError
        The directory cannot be made, or another process holds its lock.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = None if sys.platform == "win32" else os.open(folder, os.O_RDONLY)  # Windows does not open folders
    except (OSError, ValueError) as error:  # a path with a null character is a ValueError
        reason = getattr(error, "strerror", None) or error
        raise InputError.of(field, f"{folder}, which cannot be written to ({reason})", "a writable directory") from None
    if handle is None:
        _LOG.warning("%s cannot be locked on this system: let no other %s write there.", folder, work)
        yield
        return
    try:
        _lock(handle, folder, field, work)
        yield
    finally:
        os.close(handle)


def _lock(handle: int, folder: Path, field: str, work: str) -> None:
    import fcntl

    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        found = f"{folder}, to which another {work} is writing"
        raise InputError.of(field, found, f"one {work} at a time") from None
    except OSError as error:  # NFS and Lustre may know no locks, or none of folders
        _LOG.warning("%s cannot be locked (%s): let no other %s write there.", folder, error.strerror, work)
