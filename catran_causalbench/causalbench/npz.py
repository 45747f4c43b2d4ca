"""Arrays from .npz files of any origin; nothing is unpickled."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from catran_causalbench.errors import InputError

# What reading may raise if a file is damaged, incomplete or of another format than its name says.
UNREADABLE = (OSError, ValueError, LookupError, RuntimeError, EOFError, zlib.error, zipfile.BadZipFile)
CELL_ARRAYS = ("expression_matrix", "var_names", "interventions")


def read_npz(path: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Read arrays by name; raise InputError if one is missing or cannot be read."""
    try:
        with zipfile.ZipFile(path):
            pass  # numpy would also read a single array under this name
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in names}
    except UNREADABLE as error:
        expected = f"an .npz with {', '.join(names)}, none of them pickled"
        raise InputError.of(str(path), f"a file that cannot be read ({error})", expected) from None


def read_cells(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Read `expression_matrix` (cells × genes), `var_names` and `interventions`.

    Raise InputError if they cannot be read, or their shapes do not fit together.
    """
    expression, genes, labels = read_npz(path, CELL_ARRAYS).values()
    fit = genes.ndim == labels.ndim == 1 and expression.shape == (len(labels), len(genes))
    if not fit or expression.dtype.kind not in "fiu":
        raise InputError.of(
            str(path),
            f"an expression_matrix of type {expression.dtype} and shape {expression.shape}",
            f"numbers, cells × genes, for interventions of shape {labels.shape} and var_names of shape {genes.shape}",
        )
    return expression, genes, labels
