"""The file that a fitted network is saved to: an .npz of plain arrays, and a description as JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from catran_causalbench.errors import InputError
from catran_causalbench.utils.atomic_io import write_atomically

_FORMAT, _FORMAT_VERSION = "catran-causalbench fitted network", 3
_ARRAYS = {"description": "U", "gene_names": "U", "weights": "f", "effects": "f", "p_values": "f", "history": "f"}
_OPTIONAL = {"direct_weights": "f"}
_SQUARE = ("weights", "effects", "p_values", "direct_weights")


def write_network(path: str | os.PathLike[str], description: dict[str, Any], arrays: dict[str, Any]) -> Path:
    """Write arrays without pickled objects; raise InputError if the name does not end in .npz or cannot be written."""
    if Path(path).suffix != ".npz":
        raise InputError.of("path", repr(os.fspath(path)), "a name that ends in .npz")
    description = {"format": _FORMAT, "version": _FORMAT_VERSION, **description}
    arrays = {"description": np.array(json.dumps(description)), **arrays}
    # Not compressed: weights are like noise, so that takes long and makes the file a tenth smaller.
    return write_atomically(path, lambda temporary: np.savez(temporary, **arrays))


@contextmanager
def read_network(path: str | os.PathLike[str]) -> Iterator[tuple[Any, dict[str, np.ndarray]]]:
    """Yield the description and the arrays, checked; whatever fails on them becomes an InputError."""
    path = Path(path)
    if not path.is_file():
        raise InputError.of("path", f"no file {str(path)!r}", "an .npz that a fitted network was saved to")
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in (*_ARRAYS, *(_OPTIONAL.keys() & set(file.files)))}
        description = json.loads(str(arrays["description"]))
        _check(description, arrays)
        yield description, arrays
    except InputError:
        raise
    except Exception as error:  # zlib, zipfile, numpy and json raise nearly everything on a damaged file
        found = f"{path.name}, which cannot be read ({type(error).__name__}: {error})"
        raise InputError.of("path", found, "an .npz that a fitted network was saved to") from None


def _check(description: Any, arrays: dict[str, np.ndarray]) -> None:
    if description["format"] != _FORMAT:
        raise ValueError(f"its format is {description['format']!r}")
    if description["version"] != _FORMAT_VERSION:
        raise ValueError(f"its version is {description['version']}, this package reads {_FORMAT_VERSION}")
    genes = arrays["gene_names"].size
    shapes = {"gene_names": (genes,), **dict.fromkeys(_SQUARE, (genes, genes))}
    kinds = _ARRAYS | _OPTIONAL
    for name, array in arrays.items():
        kind = kinds[name]
        if array.dtype.kind != kind:
            raise ValueError(f"{name} holds values of type {array.dtype}")
        if array.shape != shapes.get(name, array.shape):
            raise ValueError(f"{name} has shape {array.shape} for {genes} genes")
    for name in {"weights", "direct_weights"} & arrays.keys():
        if np.isnan(arrays[name]).any() or np.isposinf(arrays[name]).any():
            raise ValueError(f"{name} are not numbers")
    if (arrays["p_values"] < 0).any() or (arrays["p_values"] > 1).any():
        raise ValueError("p_values are not between 0 and 1")
