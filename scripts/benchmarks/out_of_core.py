#!/usr/bin/env python
"""Memory and time for a screen whose matrix does not fit into memory, from a sparse .h5ad to edges.

The cells are random numbers, with every gene knocked down in its share of them: memory and time do not depend on the
values. The .h5ad and the dense matrix (4 bytes for every gene of every cell, twice while it is read) are in the folder
given. Results go to a JSON file there.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import psutil
from anndata.io import sparse_dataset, write_elem
from scipy import sparse

from catran_causalbench import load_config
from catran_causalbench.data.anndata_reader import read_screen
from catran_causalbench.inference import infer_network
from catran_causalbench.utils.hardware import describe_machine

_CELLS_PER_BLOCK = 10_000
_SHARE_OF_CONTROLS = 0.1


def main() -> None:
    """Write the screen, read it, and train both models on it."""
    arguments = parsed_arguments()
    folder = arguments.folder
    folder.mkdir(parents=True, exist_ok=True)
    tempfile.tempdir = str(folder)
    screen_file = folder / f"screen-{arguments.genes}-genes-{arguments.cells}-cells.h5ad"
    if not screen_file.exists():
        write_screen(screen_file, arguments.genes, arguments.cells, arguments.density)
    dense = 4 * arguments.genes * arguments.cells
    results = {
        "genes": arguments.genes,
        "cells": arguments.cells,
        "values_present": arguments.density,
        "machine": {**describe_machine(), "memory_gb": psutil.virtual_memory().total / 1e9},
        "file_gb": screen_file.stat().st_size / 1e9,
        "dense_matrix_gb": dense / 1e9,
        "stages": {},
    }
    stages = results["stages"]
    with measured(stages, "reading"):
        dataset = read_screen(screen_file, perturbation_key="target", genes="all").dataset(copy=False)
    results["in_a_file"] = dataset.expression.base is not None
    with measured(stages, "evidence"):
        infer_network(dataset, load_config("genome-wide")).edges()
    if arguments.epochs:
        config = load_config("paper")
        config = replace(config, catran=replace(config.catran, epochs=arguments.epochs))
        with measured(stages, f"paper, epochs: {arguments.epochs}"):
            infer_network(dataset, config).edges()
    output = folder / "out_of_core.json"
    output.write_text(json.dumps(results, indent=2))
    print(f"Wrote {output}.")


def parsed_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="on a disk with enough space; a screen that is there is used again")
    parser.add_argument("--genes", type=int, default=8_000)
    parser.add_argument("--cells", type=int, default=500_000)
    parser.add_argument("--density", type=float, default=0.1, help="share of values that are not zero")
    parser.add_argument("--epochs", type=int, default=1, help="of the preset paper; 0 skips it")
    return parser.parse_args()


def write_screen(path: Path, genes: int, cells: int, density: float) -> None:
    """Write a sparse screen block by block."""
    rng = np.random.default_rng(0)
    names = np.array([f"gene{number}" for number in range(genes)])
    target = np.where(rng.random(cells) < _SHARE_OF_CONTROLS, -1, np.arange(cells) % genes)
    part = path.with_suffix(".part")
    with h5py.File(part, "w") as file:
        file.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
        labels = np.where(target < 0, "non-targeting", names[target])
        write_elem(file, "obs", pd.DataFrame({"target": labels}, index=np.arange(cells).astype(str)))
        write_elem(file, "var", pd.DataFrame(index=names))
        for start in range(0, cells, _CELLS_PER_BLOCK):
            block = random_cells(target[start : start + _CELLS_PER_BLOCK], genes, density, rng)
            if start:
                sparse_dataset(file["X"]).append(block)
            else:
                write_elem(file, "X", block, dataset_kwargs={"chunks": (2**20,)})
    part.rename(path)


def random_cells(target: np.ndarray, genes: int, density: float, rng: np.random.Generator) -> sparse.csr_matrix:
    """Return some random cells, in which the perturbed gene has a tenth of its expression."""
    size = len(target) * genes
    gaps = rng.geometric(density, int(size * density * 1.02) + 1000)
    place = np.cumsum(gaps) - 1
    place = place[place < size]
    row, column = np.divmod(place, genes)
    values = rng.exponential(size=len(place)).astype(np.float32)
    values[column == target[row]] *= 0.1
    starts = np.searchsorted(place, np.arange(len(target) + 1) * genes)
    return sparse.csr_matrix((values, column.astype(np.int32), starts.astype(np.int32)), (len(target), genes))


@contextmanager
def measured(stages: dict[str, dict[str, float]], name: str) -> Iterator[None]:
    """Record the time, the peak of the process's own memory, and the peak including pages of files."""
    peak, done = np.zeros(2), threading.Event()

    def watch() -> None:
        while not done.wait(0.05):
            status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
            np.maximum(peak, [float(status[field].split()[0]) / 1e6 for field in ("RssAnon", "VmRSS")], out=peak)

    watcher, start = threading.Thread(target=watch), time.perf_counter()
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
    seconds = time.perf_counter() - start
    stages[name] = {"seconds": seconds, "own_memory_gb": peak[0], "with_pages_of_files_gb": peak[1]}
    print(f"{name}: {seconds:.0f} s, {peak[0]:.1f} GB of its own, {peak[1]:.1f} GB with pages of files", flush=True)


if __name__ == "__main__":
    main()
