"""What the operating system keeps of files in memory."""

from __future__ import annotations

import os
from pathlib import Path


def drop_from_cache(path: Path) -> None:
    """Have the system forget the content of a file, as far as it is on the disk; what is read next comes from there.

    A file larger than the memory fills it otherwise, and to find room for each further page takes longer than to read
    it. Nothing happens where the system takes no such advice.
    """
    if hasattr(os, "posix_fadvise"):  # not on macOS and Windows
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
