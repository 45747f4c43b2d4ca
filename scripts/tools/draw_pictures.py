#!/usr/bin/env python
"""Draw the pictures of the documentation, of SIMULATED data.

docs/method.png shows what the default model does, from the screen to the network, and docs/network.png a network.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch

import catran_causalbench as catran
from catran_causalbench.plotting.style import ACTIVATION, INK, REPRESSION, new_figure

DOCS = Path(__file__).parents[2] / "docs"
GENES = 12
PANELS = ("screen", "evidence for every pair", "attention", "network")
NOTES = (
    "cells × genes, and the gene\nperturbed in each cell",
    "perturbation effect, partial and\nfactor-adjusted correlation",
    "gates, calibrated on held-out\ntraining cells, weigh the evidence",
    "the strongest pairs, with effect,\np-value and sign",
)


def main() -> None:
    """Draw both pictures."""
    larger = catran.simulate_anndata(genes=60, seed=0)
    catran.fit(larger, perturbation_key="target_gene").plot_network(100, save=DOCS / "network.png")
    draw_method(DOCS / "method.png")
    print(f"Wrote method.png and network.png in {DOCS} (SIMULATED data).")


def draw_method(path: Path) -> None:
    """Draw the steps from a screen to its network."""
    adata = catran.simulate_anndata(genes=GENES, cells=2400, seed=5)
    network = catran.fit(adata, perturbation_key="target_gene")
    figure = new_figure((9.6, 2.6))
    spots = [figure.add_axes((0.015 + 0.25 * number, 0.25, 0.2, 0.6)) for number in range(4)]
    for number, (axes, title, note) in enumerate(zip(spots, PANELS, NOTES, strict=True)):
        axes.set_title(title, fontsize=11, fontweight="bold", color=INK)
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
        axes.text(0.5, -0.06, note, transform=axes.transAxes, ha="center", va="top", fontsize=8.5, color=INK)
        if number:
            left = 0.25 * number
            arrow = FancyArrowPatch(
                (left - 0.03, 0.55),
                (left + 0.01, 0.55),
                transform=figure.transFigure,
                arrowstyle="-|>",
                mutation_scale=14,
                color=INK,
            )
            figure.add_artist(arrow)
    labels = adata.obs["target_gene"].astype(str).to_numpy()
    order = np.argsort(labels, kind="stable")[np.linspace(0, len(labels) - 1, 40).astype(int)]
    spots[0].imshow(np.asarray(adata.X)[order], cmap="Greys", aspect="auto")
    size = np.nanmax(np.abs(network.effects)) / 4
    spots[1].imshow(np.nan_to_num(network.effects), cmap="RdBu_r", vmin=-size, vmax=size)
    spots[2].imshow(network.weights, cmap="Blues")
    draw_circle(spots[3], network.edges(16))
    figure.savefig(path, dpi=150)


def draw_circle(axes: Axes, edges: pd.DataFrame) -> None:
    """Draw edges between genes on a circle."""
    genes = sorted({*edges["source"], *edges["target"]})
    angle = 2 * np.pi * np.arange(len(genes)) / len(genes)
    place = dict(zip(genes, np.column_stack([np.cos(angle), np.sin(angle)]), strict=True))
    for edge in edges.itertuples():
        repressing = edge.regulation < 0
        axes.add_patch(
            FancyArrowPatch(
                place[edge.source],
                place[edge.target],
                connectionstyle="arc3,rad=0.15",
                shrinkA=5,
                shrinkB=6,
                arrowstyle="-[,widthB=0.3,lengthB=0" if repressing else "-|>",
                mutation_scale=9,
                color=REPRESSION if repressing else ACTIVATION,
                linewidth=1.3,
            )
        )
    axes.scatter(*np.transpose(list(place.values())), s=60, color=INK, zorder=3)
    axes.set(xlim=(-1.25, 1.25), ylim=(-1.25, 1.25), aspect="equal")


if __name__ == "__main__":
    main()
