#!/usr/bin/env python
"""What `fit` costs beside reading the screen and inferring the network: the function and the command.

    python scripts/benchmarks/fit_overhead.py                            # two minutes on 2 cores
    python scripts/benchmarks/fit_overhead.py --genes 100 --cells 20000

All are timed in one process, in turn, forwards and backwards, after a first round that imports and compiles what they
need and leaves the file in the system's cache. The last is a process of its own, so that the time beyond that of the
same command is what Python's start, imports and compiling take. The cells are random counts. Prints a table in
Markdown: medians and ranges, and how much longer than reading and inferring `fit` takes, in units of inferring.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd
from anndata import AnnData
from speed import random_dataset

import catran_causalbench as catran
from catran_causalbench.cli import app
from catran_causalbench.data.anndata_reader import read_screen
from catran_causalbench.utils.hardware import describe_machine

KEY, CONTROL = "gene", "non-targeting"


def main() -> None:
    """Write a screen, time everything on it in turn, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--genes", type=int, default=383)
    parser.add_argument("--cells", type=int, default=60_000)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "random.h5ad")
        write_screen(path, options.genes, options.cells)
        dataset = read_screen(path, perturbation_key=KEY).dataset()
        command = ["fit", str(path), "--output", str(Path(folder, "network")), "--overwrite", "--quiet"]
        own_process = [sys.executable, "-m", "catran_causalbench", *command]
        actions: dict[str, Callable[[], object]] = {
            "reading": lambda: read_screen(path, perturbation_key=KEY),
            "`infer_network`": lambda: catran.infer_network(dataset),
            "`fit` in Python": lambda: catran.fit(path, perturbation_key=KEY),
            "the command `fit`": lambda: app(command, standalone_mode=False),
            "the command `fit --figures`": lambda: app([*command, "--figures"], standalone_mode=False),
            "`fit`, a process of its own": lambda: subprocess.run(own_process, check=True, stdout=subprocess.DEVNULL),
        }
        rounds = []
        for number in range(options.repeats + 1):
            names = [*actions][:: -1 if number % 2 else 1]  # since memory that was just freed is quick to get again
            rounds.append({name: seconds_of(actions[name]) for name in names})
    machine = describe_machine()
    print(f"\n{options.genes} genes × {options.cells:,} cells, {machine['cores']} cores of an {machine['processor']}\n")
    print("| | seconds | beyond reading and inferring |\n|---|---|---|")
    for name in actions:
        times = [each[name] for each in rounds[1:]]
        more = [(each[name] - each["reading"]) / each["`infer_network`"] - 1 for each in rounds[1:]]
        ratio = f"{median(more):+.0%}" if "fit" in name else ""
        print(f"| {name} | {median(times):.2f} ({min(times):.2f} to {max(times):.2f}) | {ratio} |")


def write_screen(path: Path, genes: int, cells: int) -> None:
    """Write random cells as an .h5ad."""
    dataset = random_dataset(genes, cells)
    labels = np.array([*dataset.gene_names, CONTROL])[dataset.intervention]  # the code of controls is −1, the last
    observations = pd.DataFrame({KEY: labels}, index=[f"cell{number}" for number in range(cells)])
    AnnData(dataset.expression, observations, pd.DataFrame(index=list(dataset.gene_names))).write_h5ad(path)


def seconds_of(action: Callable[[], object]) -> float:
    """Time one call, and drop what it prints."""
    with contextlib.redirect_stdout(io.StringIO()):
        start = time.perf_counter()
        action()
        return time.perf_counter() - start


if __name__ == "__main__":
    main()
