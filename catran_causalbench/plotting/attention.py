"""Heat map of every target's attention on every source, with similar genes side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from catran_causalbench.plotting.style import FAINT, INK, new_figure, write_title

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

_MOST_LABELLED = 60  # more labels are illegible
_MOST_ORDERED = 600  # for more genes the optimal order of the leaves takes too long
_LIMITS = (0.5, 0.995)  # quantiles that the colour scale spans: a few strong edges do not make all others pale
_BACKGROUND = 0.9  # quantile below which weights are ignored when genes are clustered
_COLOURS = ("#FFFFFF", "#9AD0EE", "#0072B2", "#00304D")


def draw_attention(adjacency: pd.DataFrame, num_genes: int | None = 60, *, title: str = "") -> Figure:
    """Draw a weighted adjacency as a heat map ordered by modules.

    Sources with similar targets stand side by side, and so do targets with similar sources (Ward's method); therefore
    the axes differ in order. Lines separate the modules.

    Parameters
    ----------
    adjacency
        Source × target, both axes with the same genes in the same order; the diagonal is ignored.
    num_genes
        How many genes to draw, those with the largest sums of weights; None draws all. More than 60 are not labelled.
    title
        Description of the data.
    """
    from matplotlib.colors import LinearSegmentedColormap

    weights = adjacency.to_numpy(float, copy=True)
    np.fill_diagonal(weights, 0)
    drawn = np.argsort(-(weights.sum(axis=0) + weights.sum(axis=1)), kind="stable")[:num_genes]
    weights, names = weights[np.ix_(drawn, drawn)], adjacency.index[drawn].astype(str)
    low, background, high = np.quantile(
        weights[~np.eye(len(weights), dtype=bool)], (_LIMITS[0], _BACKGROUND, _LIMITS[1])
    )
    rows, row_borders = _by_module(weights, background)
    columns, column_borders = _by_module(weights.T, background)

    figure = new_figure((7.2, 6.6))
    axes = figure.add_axes((0.145, 0.12, 0.715, 0.78))
    image = axes.imshow(
        weights[np.ix_(rows, columns)],
        cmap=LinearSegmentedColormap.from_list("weights", _COLOURS),
        vmin=low,
        vmax=high if high > low else low + 1,
        interpolation="nearest",
        aspect="equal",
    )
    axes.hlines(row_borders, -0.5, len(names) - 0.5, color=FAINT, linewidth=0.6)
    axes.vlines(column_borders, -0.5, len(names) - 0.5, color=FAINT, linewidth=0.6)
    axes.set(xticks=[], yticks=[])
    if len(names) <= _MOST_LABELLED:
        # A name may contain a dollar sign.
        style: dict[str, Any] = {"fontsize": min(8.0, 380 / max(len(names), 1)), "parse_math": False}
        axes.set_xticks(range(len(names)), names[columns], rotation=90, **style)
        axes.set_yticks(range(len(names)), names[rows], **style)
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
