"""A fitted network as one file: an .npz of plain arrays and one text of JSON, without pickle."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from catran_causalbench.config import CatranConfig
from catran_causalbench.errors import InputError
from catran_causalbench.grn.fitted_network import FittedNetwork
from catran_causalbench.utils.atomic_io import write_atomically

FORMAT, FORMAT_VERSION = "catran-causalbench fitted network", 1
_ARRAYS = {"description": "U", "gene_names": "U", "weights": "f", "effects": "f", "losses": "f"}


def save(fitted: FittedNetwork, path: str | os.PathLike[str]) -> Path:
    """Write a fitted network; the name must end in .npz."""
    if Path(path).suffix != ".npz":
        raise InputError.of("path", repr(os.fspath(path)), "a name that ends in .npz")
    description = {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "config": asdict(fitted.config),
        "seed": fitted.seed,
        "origin": fitted.origin,
        "cells": fitted.cells,
        "loss_names": list(fitted.losses.columns),
    }
    return write_atomically(
        path,
        lambda temporary: np.savez_compressed(
            temporary,
            description=np.array(json.dumps(description)),
            gene_names=np.array(fitted.gene_names),
            weights=fitted.weights,
            effects=fitted.effects,
            losses=fitted.losses.to_numpy(float),
        ),
    )


def load(path: str | os.PathLike[str]) -> FittedNetwork:
    """Read a network that :meth:`~catran_causalbench.grn.fitted_network.FittedNetwork.save` wrote: the same edges and effects.

    Raises
    ------
    InputError
        There is no such file, it is broken, or it is something else.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError.of("path", f"no file {str(path)!r}", "an .npz that a fitted network was saved to")
    try:
        arrays = _read_arrays(path)
        description = json.loads(str(arrays["description"]))
        _check(description, arrays)
        return FittedNetwork(
            gene_names=tuple(arrays["gene_names"].tolist()),
            weights=arrays["weights"],
            effects=arrays["effects"],
            cells={str(kind): int(number) for kind, number in description["cells"].items()},
            losses=pd.DataFrame(arrays["losses"], columns=description["loss_names"]),
            config=CatranConfig.from_mapping(description["config"], path.name),
            seed=int(description["seed"]),
            origin=str(description["origin"]),
        )
    except InputError:
        raise
    except Exception as error:  # zlib, zipfile, numpy and json raise nearly everything on a damaged file
        found = f"{path.name}, which cannot be read ({type(error).__name__}: {error})"
        raise InputError.of("path", found, "an .npz that a fitted network was saved to") from None


def _read_arrays(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in _ARRAYS}
    for name, kind in _ARRAYS.items():
        if arrays[name].dtype.kind != kind:
            raise ValueError(f"{name} holds values of type {arrays[name].dtype}")
    return arrays


def _check(description: Any, arrays: dict[str, np.ndarray]) -> None:
    if description["format"] != FORMAT:
        raise ValueError(f"its format is {description['format']!r}")
    if description["version"] != FORMAT_VERSION:
        raise ValueError(f"its version is {description['version']}, this package reads {FORMAT_VERSION}")
    if arrays["gene_names"].ndim != 1:
        raise ValueError(f"gene_names has {arrays['gene_names'].ndim} dimensions")
    genes = len(arrays["gene_names"])
    for name in ("weights", "effects"):
        if arrays[name].shape != (genes, genes):
            raise ValueError(f"{name} has shape {arrays[name].shape} for {genes} genes")
    if not np.isfinite(arrays["weights"]).all():
        raise ValueError("weights are not finite")
