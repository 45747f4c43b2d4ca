"""Attention of every target on every source as a heat map, with similar genes side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from catran_causalbench.plotting.style import FAINT, INK, new_figure, write_title

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

_MOST_NAMED = 60  # more names than this cannot be read
_MOST_ORDERED = 600  # for more genes the optimal order of the leaves takes too long
# The colour scale spans these quantiles of the weights: a typical pair is white, and a few strong edges do not make all
# others pale.
_LIMITS = (0.5, 0.995)
# Weights below this quantile are ignored when genes are clustered.
_BACKGROUND = 0.9
_COLOURS = ("#FFFFFF", "#9AD0EE", "#0072B2", "#00304D")


def draw_attention(adjacency: pd.DataFrame, num_genes: int | None = 60, *, title: str = "") -> Figure:
    """Draw a weighted adjacency as a heat map ordered by modules.

    Sources with similar targets are placed side by side, and so are targets with similar sources (Ward's method); lines
    separate the modules. The two axes therefore have different orders.

    Parameters
    ----------
    adjacency
        Source × target, with the same genes in the same order on both axes; the diagonal is ignored.
    num_genes
        Number of genes to draw, those with the largest sums of weights; None draws all. More than 60 genes are not
        labelled.
    title
        Description of the data.

    Returns
    -------
    Figure
        Not managed by pyplot.
    """
    from matplotlib.colors import LinearSegmentedColormap

    weights = adjacency.to_numpy(float, copy=True)
    np.fill_diagonal(weights, 0)
    drawn = np.argsort(-(weights.sum(axis=0) + weights.sum(axis=1)), kind="stable")[:num_genes]
    shown, names = weights[np.ix_(drawn, drawn)], adjacency.index[drawn].astype(str)
    off_diagonal = shown[~np.eye(len(shown), dtype=bool)]
    rows, row_borders = _by_module(shown, np.quantile(off_diagonal, _BACKGROUND))
    columns, column_borders = _by_module(shown.T, np.quantile(off_diagonal, _BACKGROUND))

    figure = new_figure((7.2, 6.6))
    axes = figure.add_axes((0.145, 0.12, 0.715, 0.78))
    low, high = np.quantile(off_diagonal, _LIMITS)
    image = axes.imshow(
        shown[np.ix_(rows, columns)],
        cmap=LinearSegmentedColormap.from_list("weights", _COLOURS),
        vmin=low,
        vmax=high if high > low else low + 1,
        interpolation="nearest",
        aspect="equal",
    )
    axes.hlines(row_borders, -0.5, len(names) - 0.5, color=FAINT, linewidth=0.6)
    axes.vlines(column_borders, -0.5, len(names) - 0.5, color=FAINT, linewidth=0.6)
    named = len(names) <= _MOST_NAMED
    size = min(8.0, 380 / max(len(names), 1))
    plain: dict[str, Any] = {"fontsize": size, "parse_math": False}  # a name may contain a dollar sign
    axes.set_xticks(range(len(names)) if named else [], names[columns] if named else [], rotation=90, **plain)
    axes.set_yticks(range(len(names)) if named else [], names[rows] if named else [], **plain)
    axes.tick_params(length=0, pad=2, labelcolor=INK)
    axes.set_xlabel(f"targets, {len(column_borders) + 1} modules", color=INK)
    axes.set_ylabel(f"sources, {len(row_borders) + 1} modules", color=INK)
    axes.spines[:].set_color("#CCCCCC")
    bar = figure.colorbar(image, cax=figure.add_axes((0.875, 0.31, 0.022, 0.385)), extend="both")
    bar.set_label("weight (attention of the target on the source)", color=INK, fontsize=8)
    bar.ax.tick_params(labelsize=7, colors=INK)
    bar.outline.set_visible(False)
    count = f"{len(names)} of {len(adjacency)} genes" if len(names) < len(adjacency) else f"{len(names)} genes"
    write_title(figure, title, f"Weights between {count}, ordered by modules")
    return figure


def _by_module(weights: np.ndarray, background: float) -> tuple[np.ndarray, np.ndarray]:
    """Order rows by hierarchical clustering; return the order and the positions between modules."""
    from scipy.cluster.hierarchy import fcluster, leaves_list, linkage
    from scipy.spatial.distance import pdist

    if len(weights) < 4:
        return np.arange(len(weights)), np.empty(0)
    profiles = np.sqrt(np.clip(weights - background, 0, None))
    lengths = np.linalg.norm(profiles, axis=1, keepdims=True)
    profiles /= lengths + np.median(lengths) + 1e-12  # a hub is compared by which genes it affects, not by how strongly
    tree = linkage(pdist(profiles), method="ward", optimal_ordering=len(weights) <= _MOST_ORDERED)
    order = leaves_list(tree)
    module = fcluster(tree, t=max(2, round(np.sqrt(len(weights)) / 1.5)), criterion="maxclust")[order]
    return order, np.flatnonzero(module[1:] != module[:-1]) + 0.5
