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
def lock_directory(directory: Path, field: str, work: str) -> Iterator[None]:
    """Make a directory and lock it; the lock ends with the block or the process, however it ends.

    Messages call the directory ``field``, and what is done there ``work``: "run", "sweep" or "download".

    Raises
    ------
    InputError
        The directory cannot be made, or another process holds its lock.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        handle = None if sys.platform == "win32" else os.open(directory, os.O_RDONLY)  # Windows opens no directories
    except (OSError, ValueError) as error:  # a path with a null character is a ValueError
        found = f"{directory}, which cannot be written to ({getattr(error, 'strerror', None) or error})"
        raise InputError.of(field, found, "a writable directory") from None
    if handle is None:
        _LOG.warning("%s cannot be locked on this system: let no other %s write there.", directory, work)
        yield
        return
    import fcntl

    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            found = f"{directory}, to which another {work} is writing"
            raise InputError.of(field, found, f"one {work} at a time") from None
        except OSError as error:  # NFS and Lustre may have no locks, or none for directories
            _LOG.warning("%s cannot be locked (%s): let no other %s write there.", directory, error.strerror, work)
        yield
    finally:
        os.close(handle)
