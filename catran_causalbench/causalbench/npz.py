"""CausalBench's .npz files: cells written block by block, and arrays read from files of any origin, none unpickled."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

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


def write_cells(
    path: Path,
    blocks: Iterable[np.ndarray],
    shape: tuple[int, int],
    dtype: np.dtype,
    genes: Sequence[str],
    labels: Sequence[str] | NDArray[np.str_],
    **marks: object,
) -> None:
    """Write `expression_matrix` from blocks of its rows, `var_names`, `interventions`, and `marks` as further arrays.

    The bytes are those of :func:`numpy.savez`, which would need the whole matrix.
    """
    header = {"descr": npy_format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    arrays = dict(zip(CELL_ARRAYS[1:], map(np.array, (genes, labels)), strict=True))
    with zipfile.ZipFile(path, "w") as archive:
        with archive.open(f"{CELL_ARRAYS[0]}.npy", "w", force_zip64=True) as member:
            npy_format.write_array_header_1_0(member, header)
            for block in blocks:
                member.write(np.ascontiguousarray(block, dtype).data)
        for name, array in {**arrays, **{name: np.array(mark) for name, mark in marks.items()}}.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                npy_format.write_array(member, array, allow_pickle=False)
