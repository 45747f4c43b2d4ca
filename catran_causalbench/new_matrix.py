"""Room for a matrix of all cells: in memory, or in a temporary file where the memory is short."""

from __future__ import annotations

import os
import tempfile

import numpy as np
import psutil

from catran_causalbench.errors import InputError

# A matrix that takes more of the memory available goes to a file: training needs room of its own.
_SHARE_OF_MEMORY = 0.5


def new_matrix(cells: int, genes: int) -> np.ndarray:
    """Make room for float32 values, cells × genes.

    A file lies in the folder for temporary files (``TMPDIR``; it should be on a disk, not in memory), has no name and
    is gone with the array. The system holds in memory what of it there is room for.

    Raises
    ------
    InputError
        Where neither the memory nor that folder has the room.
    """
    size = cells * genes * np.dtype(np.float32).itemsize
    if size <= _SHARE_OF_MEMORY * psutil.virtual_memory().available:
        return np.empty((cells, genes), np.float32)
    with tempfile.TemporaryFile(prefix="catran-") as file:
        try:
            os.posix_fallocate(file.fileno(), 0, size)  # else a full disk would end the process at some write
        except OSError as error:
            found = f"{cells} cells × {genes} genes, too many for the memory and for {tempfile.gettempdir()}"
            expected = f"{size / 1e9:.1f} GB in the folder that TMPDIR names, or fewer genes"
            raise InputError.of("expression_matrix", f"{found} ({error.strerror})", expected) from None
        return np.memmap(file, np.float32, "r+", shape=(cells, genes)).view(np.ndarray)
