#!/usr/bin/env python
"""Compare methods on screens with a known truth, at several shares of perturbed genes; print a table in Markdown.

Single measurements go to the standard error as CSV. Every .npz holds X (cells × genes), labels, names, and the true
direct and total effects, source × target. As in the experiment ``network``, the settings in scripts/experiments/network
lead from the preset paper to the preset catran. All cells take part with seed 0, nine tenths with any other.

Usage: network_on_files.py FILE.npz... [--seeds 0 1] [--methods mean_difference catran-catran]
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
from known_screens import draw, read_screen

from catran_causalbench import infer_network

_STEPS = sorted(str(path) for path in (Path(__file__).parent / "network").glob("*.yaml"))
METHODS = ["correlation", "mean_difference", "catran-paper", *_STEPS, "catran-catran"]
FRACTIONS = [1.0, 0.25, 0.0]


def quality(weights: np.ndarray, data: dict[str, np.ndarray]) -> tuple[float, float]:
    """Return effect recovery and precision of as many edges as there are direct ones."""
    pairs = ~np.eye(len(weights), dtype=bool)
    direct, total = data["direct"][pairs] != 0, np.abs(data["total"][pairs])
    best = np.argsort(-weights[pairs].astype(float), kind="stable")[: direct.sum()]
    return total[best].sum() / np.sort(total)[::-1][: direct.sum()].sum(), direct[best].mean()


def main() -> int:
    """Run all methods on all screens, and print means and standard deviations over seeds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--methods", nargs="+", default=METHODS)
    parser.add_argument("--fractions", nargs="+", type=float, default=FRACTIONS)
    arguments = parser.parse_args()
    rows = []
    for file in arguments.files:
        data = read_screen(file)
        order = np.argsort(data["names"])  # that of a validated dataset
        data |= {"names": data["names"][order], "X": data["X"][:, order]}
        data |= {name: data[name][np.ix_(order, order)] for name in ("direct", "total")}
        for fraction in arguments.fractions:
            for seed in arguments.seeds:
                dataset, _ = draw(data, fraction, seed, kept=0.9 if seed else 1.0)
                for method in arguments.methods:
                    if method == "mean_difference" and not len(dataset.perturbed_genes):
                        continue
                    start = time.process_time()
                    weights = infer_network(dataset, seed=seed, method=method).weights
                    seconds = time.process_time() - start
                    recovery, precision = quality(weights, data)
                    name = Path(method).stem
                    rows.append((file.stem, f"{fraction:.0%}", seed, name, recovery, precision, seconds))
                    print(*rows[-1], sep=",", file=sys.stderr, flush=True)
    print(
        summary(pd.DataFrame(rows, columns=["data", "perturbed", "seed", "method", "recovery", "precision", "seconds"]))
    )
    return 0


def summary(measured: pd.DataFrame) -> str:
    """Return a table in Markdown: effect recovery / precision, mean ± standard deviation over seeds, CPU time."""
    groups = measured.groupby(["method", "data", "perturbed"])[["recovery", "precision", "seconds"]]
    mean, spread = groups.mean(), groups.std(ddof=0)
    columns = list(measured[["data", "perturbed"]].drop_duplicates().itertuples(index=False, name=None))
    lines = [
        "| | " + " | ".join(f"{data}, {share}" for data, share in columns) + " |",
        "|---" * (len(columns) + 1) + "|",
    ]
    for method in measured["method"].unique():
        keys = [(method, *column) for column in columns]
        cells = [_cell(mean.loc[key], spread.loc[key]) if key in mean.index else "" for key in keys]
        lines.append(f"| {method} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(mean: pd.Series, spread: pd.Series) -> str:
    """Return one cell of the table."""
    values = (f"{mean[name]:.3f} ± {spread[name]:.3f}" for name in ("recovery", "precision"))
    return f"{' / '.join(values)}, {mean['seconds']:.1f} s"


if __name__ == "__main__":
    sys.exit(main())
