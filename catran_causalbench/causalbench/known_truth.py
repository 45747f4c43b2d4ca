"""Data sets whose truth is known, in one .npz each, as the cells of other simulators are kept.

============ =========================================================================================
``X``        cells × genes, values of at least 0: any measure of expression that methods shall get as it is
``labels``   one per cell: the perturbed gene, ``non-targeting`` or ``excluded``
``names``    one per gene
``direct``   genes × genes, source × target: direct edges, not 0
``total``    genes × genes, source × target: noise-free change of the target when the source is perturbed
============ =========================================================================================

Such a file stands for a benchmark directory in sweeps and in evaluations. It has no reference networks.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from catran_causalbench.causalbench.npz import read_npz
from catran_causalbench.data.validation import validate_dataset
from catran_causalbench.errors import InputError


class KnownTruth(NamedTuple):
    """C cells with G genes, and their truth."""

    expression: np.ndarray  # (C, G)
    names: np.ndarray  # (G,)
    labels: np.ndarray  # (C,)
    network: np.ndarray  # bool, (G, G), source × target: direct edges
    effects: np.ndarray  # float64, (G, G), source × target: total effects


def is_known_truth(data: Path) -> bool:
    """Return whether a path names such a file and not a directory."""
    return data.suffix == ".npz"


def data_name(data: Path) -> str:
    """Return the name of a data set in results: that of its directory, or of its file without the ending."""
    return data.stem if is_known_truth(data) else data.name


def read_known_truth(path: Path) -> KnownTruth:
    """Read such a file.

    Raise InputError if an array is missing or damaged, or if
    :func:`~catran_causalbench.data.validation.validate_dataset` refuses the cells.
    """
    arrays = read_npz(path, ["X", "labels", "names", "direct", "total"])
    try:
        validate_dataset(arrays["X"], arrays["labels"].tolist(), arrays["names"].tolist())
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    genes = arrays["names"].size
    for name in ("direct", "total"):
        pairs = arrays[name]
        if pairs.shape != (genes, genes) or pairs.dtype.kind not in "fiub" or not np.isfinite(pairs).all():
            found = f"{name} of type {pairs.dtype} and shape {pairs.shape}"
            raise InputError.of(str(path), found, f"finite numbers, {genes} × {genes}, source × target")
    network = (arrays["direct"] != 0) & ~np.eye(genes, dtype=bool)
    if not network.any():
        raise InputError.of(str(path), "no edge in direct", "at least one entry that is not 0")
    return KnownTruth(arrays["X"], arrays["names"], arrays["labels"], network, arrays["total"].astype(np.float64))
