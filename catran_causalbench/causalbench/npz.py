"""Arrays from .npz files of any origin: nothing is unpickled, and one line says why a file cannot be read."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from catran_causalbench.errors import InputError

# What reading may raise if a file is damaged, cut off or not what its name says.
UNREADABLE = (OSError, ValueError, LookupError, RuntimeError, EOFError, zlib.error, zipfile.BadZipFile)
CELL_ARRAYS = ("expression_matrix", "var_names", "interventions")


def read_npz(path: Path, names: Sequence[str], optional: Sequence[str] = ()) -> dict[str, np.ndarray]:
    """Read the arrays of these names, and the optional ones if the file holds them.

    Raises
    ------
    InputError
        The file cannot be read, or lacks an array.
    """
    try:
        with zipfile.ZipFile(path):
            pass  # numpy would take a single array under this ending, too
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in (*names, *(name for name in optional if name in arrays))}
    except UNREADABLE as error:
        expected = f"an .npz with {', '.join(names) or 'arrays'}, none of them pickled"
        raise InputError.of(str(path), f"what cannot be read ({error})", expected) from None


def read_cells(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Read `expression_matrix` (cells × genes), `var_names` and `interventions`.

    Raises
    ------
    InputError
        They cannot be read, or their shapes do not fit together.
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
