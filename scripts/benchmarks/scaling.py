#!/usr/bin/env python
"""Time and memory of the methods over the numbers of genes and cells, with fitted exponents.

    python scripts/benchmarks/scaling.py --output scaling.json       # about half an hour on 2 cores
    python scripts/benchmarks/scaling.py --methods catran mean_difference --genes 100 400 --cells 10000 100000

Each measurement is a process of its own, which makes random cells, compiles what it needs on a few of them, and then
infers a network once. Time and memory do not depend on the values; the memory is what the process holds beyond the
cells. Sizes whose matrix is larger than --matrix-gb, and those after a method needed more than --limit seconds, are
left out and shown as a dash. Results go to a JSON file; the table in Markdown is printed. The exponents are those of a
least-squares fit of log(seconds) on log(genes) and log(cells) over the runs of more than a tenth of a second.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from speed import random_dataset

from catran_causalbench import infer_network
from catran_causalbench.utils.hardware import PeakMemory, describe_machine

METHODS = ("catran", "catran-paper", "mean_difference", "grnboost")
GENES, CELLS = (100, 400, 1_000, 2_000, 4_000, 8_000), (10_000, 100_000, 1_000_000)
SHORTEST = 0.1  # seconds; shorter runs say more about the start than about the size


def main() -> None:
    """Measure every size of every method, and print the table."""
    options = parsed_options()
    if options.worker:
        print("\n" + json.dumps(measured_here(*options.worker)))
        return
    rows: list[dict[str, Any]] = []
    for method in options.methods:
        for genes, cells in sizes(options):
            if any(is_hopeless(row, method, genes, cells, options.limit) for row in rows):
                continue
            row = {"method": method, "genes": genes, "cells": cells, **measured(method, genes, cells, options.limit)}
            rows.append(row)
            print(row, file=sys.stderr)
            content = json.dumps({"machine": describe_machine(), "limit": options.limit, "rows": rows}, indent=2)
            options.output.write_text(content)
    print(table(rows, options))


def parsed_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="+", default=METHODS)
    parser.add_argument("--genes", nargs="+", type=int, default=GENES)
    parser.add_argument("--cells", nargs="+", type=int, default=CELLS)
    parser.add_argument("--limit", type=float, default=120.0, help="seconds of one run")
    parser.add_argument("--matrix-gb", type=float, default=4.0, help="largest matrix of cells × genes")
    parser.add_argument("--output", type=Path, default=Path("scaling.json"))
    parser.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    return parser.parse_args()


def sizes(options: argparse.Namespace) -> list[tuple[int, int]]:
    """Return the numbers of genes and cells whose matrix is not too large."""
    both = [(genes, cells) for genes in options.genes for cells in options.cells]
    return [(genes, cells) for genes, cells in both if 4e-9 * genes * cells <= options.matrix_gb]


def is_hopeless(row: dict[str, Any], method: str, genes: int, cells: int, limit: float) -> bool:
    """Return whether a run of at least as many genes and cells would take longer than the limit, as ``row`` did."""
    smaller = row["method"] == method and row["genes"] <= genes and row["cells"] <= cells
    return smaller and (row["seconds"] is None or row["seconds"] > limit)


def measured(method: str, genes: int, cells: int, limit: float) -> dict[str, float | None]:
    """Return seconds and gigabytes of a run in a process of its own; None where it took longer than the limit."""
    command = [sys.executable, __file__, "--worker", method, str(genes), str(cells)]
    try:
        # Making the cells and compiling are not part of the run's time.
        output = subprocess.run(command, check=True, capture_output=True, text=True, timeout=limit + 120).stdout
    except subprocess.TimeoutExpired:
        return {"seconds": None, "gigabytes": None}
    result: dict[str, float | None] = json.loads(output.splitlines()[-1])
    return result


def measured_here(method: str, genes: str, cells: str) -> dict[str, float]:
    """Return the seconds and the gigabytes beyond the cells that inferring a network takes in this process."""
    infer_network(random_dataset(20, 1_000), method=method)
    dataset = random_dataset(int(genes), int(cells))
    with PeakMemory() as memory:
        start = time.perf_counter()
        infer_network(dataset, method=method)
        seconds = time.perf_counter() - start
    return {"seconds": seconds, "gigabytes": memory.peak_megabytes / 1e3}


def table(rows: list[dict[str, Any]], options: argparse.Namespace) -> str:
    """Return the table of all sizes, with the exponents in its last row."""
    found = {(row["method"], row["genes"], row["cells"]): row for row in rows}
    lines = [f"| genes × cells | {' | '.join(options.methods)} |", "|---" * (len(options.methods) + 1) + "|"]
    for genes, cells in sizes(options):
        entries = [entry(found.get((method, genes, cells))) for method in options.methods]
        lines.append(f"| {genes:,} × {cells:,} | {' | '.join(entries)} |")
    exponents = [fitted([row for row in rows if row["method"] == method]) for method in options.methods]
    return "\n".join([*lines, f"| time grows as | {' | '.join(exponents)} |"])


def entry(row: dict[str, Any] | None) -> str:
    """Return seconds and memory of a run."""
    if row is None or row["seconds"] is None:
        return "–"
    return f"{row['seconds']:.3g} s, {row['gigabytes']:.2g} GB"


def fitted(rows: list[dict[str, Any]]) -> str:
    """Return how the time grows with genes and cells."""
    used = [row for row in rows if row["seconds"] is not None and row["seconds"] > SHORTEST]
    logs = np.log([[row["genes"], row["cells"], np.e] for row in used])
    if len(used) < 4 or np.linalg.matrix_rank(logs) < 3:
        return "–"
    genes, cells, _ = np.linalg.lstsq(logs, np.log([row["seconds"] for row in used]), rcond=None)[0]
    return f"genes^{genes:.2f} × cells^{cells:.2f}"


if __name__ == "__main__":
    main()
