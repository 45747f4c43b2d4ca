"""Heat map of every target's attention on every source, with similar genes side by side."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from catran_causalbench.plotting.style import (
    FAINT,
    INK,
    figure_of,
    height_of_title,
    name_axes,
    new_figure,
    save_figure,
    write_title,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_LABELLED = 60  # more labels are illegible
_MOST_ORDERED = 600  # for more genes the optimal order of the leaves takes too long
_BACKGROUND = 0.9  # quantile below which weights are ignored when genes are clustered
_EXPONENT = 0.5  # of the colour scale: a few strong edges do not make all others pale
_COLOURS = ("#FFFFFF", "#9AD0EE", "#0072B2", "#00304D")
_SIZE = (7.2, 6.6)  # inches


def draw_attention(
    adjacency: pd.DataFrame,
    num_genes: int | None = 60,
    *,
    title: str = "",
    ax: Axes | None = None,
    save: str | os.PathLike[str] | None = None,
) -> Figure:
    """Draw a weighted adjacency as a heat map ordered by modules.

    Genes with similar targets and similar regulators stand side by side (Ward's method), in the same order on both
    axes. Lines separate the modules. The colours reach from 0 to the largest weight, or
    from the smallest one where weights are mostly below 0.

    Parameters
    ----------
    adjacency
        Source × target, both axes with the same genes in the same order; the diagonal is ignored.
    num_genes
        How many genes to draw, those with the largest sums of weights; None draws all. More than 60 are not labelled.
    title
        Description of the data.
    ax
        Axes to draw into, by default those of a new figure with a title.
    save
        File to write the figure to (.png, .pdf, .svg).
    """
    from matplotlib.colors import LinearSegmentedColormap, PowerNorm

    weights = adjacency.to_numpy(float, copy=True)
    np.fill_diagonal(weights, 0)
    unknown = ~np.isfinite(weights)  # pairs of which a baseline knows nothing
    smallest = float(weights[~unknown].min(initial=0.0))
    # Attention may fall a little below 0; a baseline's log-odds are mostly negative.
    lowest = 0.0 if -smallest < weights.max(initial=0.0) else smallest
    weights = np.where(unknown, lowest, weights.clip(lowest))
    drawn = np.argsort(-(weights.sum(axis=0) + weights.sum(axis=1)), kind="stable")[:num_genes]
    weights, names = weights[np.ix_(drawn, drawn)], adjacency.index[drawn].astype(str)
    order, borders = _by_module(weights)

    if ax is None:
        figure = new_figure(_SIZE)
        figure.set_layout_engine(
            "constrained", rect=(0.01, 0.01, 0.98, 0.98 - height_of_title(title, _SIZE[0]) / _SIZE[1])
        )
        axes = figure.add_subplot()
    else:
        figure, axes = figure_of(ax), ax
        name_axes(axes, title)
    highest = float(weights.max(initial=lowest))
    highest = highest if highest > lowest else lowest + 1
    image = axes.imshow(
        weights[np.ix_(order, order)],
        cmap=LinearSegmentedColormap.from_list("weights", _COLOURS),
        norm=PowerNorm(_EXPONENT, lowest, highest),
        interpolation="nearest",
        aspect="equal",
    )
    axes.hlines(borders, -0.5, len(names) - 0.5, color=FAINT, linewidth=0.6)
    axes.vlines(borders, -0.5, len(names) - 0.5, color=FAINT, linewidth=0.6)
    axes.set(xticks=[], yticks=[])
    if len(names) <= _MOST_LABELLED:
        side = 72 * min(axes.get_window_extent().size) / figure.dpi
        # A name may contain a dollar sign.
        style: dict[str, Any] = {"fontsize": min(8.0, 0.9 * side / max(len(names), 1)), "parse_math": False}
        axes.set_xticks(range(len(names)), names[order], rotation=90, **style)
        axes.set_yticks(range(len(names)), names[order], **style)
    axes.tick_params(length=0, pad=2, labelcolor=INK)
    axes.set_xlabel("target", color=INK, fontsize=9)
    axes.set_ylabel("source", color=INK, fontsize=9)
    axes.spines[:].set_color("#CCCCCC")
    bar = figure.colorbar(
        image, ax=axes, shrink=0.6, aspect=26, pad=0.02, extend="min" if smallest < lowest else "neither"
    )
    bar.set_ticks(_ticks(lowest, highest))
    bar.set_label("weight: attention of the target on the source", color=INK, fontsize=8)
    bar.ax.tick_params(labelsize=7, colors=INK)
    bar.outline.set_visible(False)
    if ax is None:
        count = f"{len(names)} of {len(adjacency)} genes" if len(names) < len(adjacency) else f"{len(names)} genes"
        write_title(figure, title, f"Weights between {count}, ordered by {len(borders) + 1} modules")
    save_figure(figure, save)
    return figure


def _ticks(low: float, high: float) -> list[float]:
    """Return ticks of the colour bar: both ends, 0, and round numbers that are evenly spaced to the eye."""
    inner = low + (high - low) * np.array([0.25, 0.5, 0.75]) ** (1 / _EXPONENT)
    digits = 1 - int(np.floor(np.log10(high - low)))
    return sorted({low, 0.0, *np.round(inner, digits).tolist(), high})


def _by_module(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Order genes by hierarchical clustering of what they affect and what affects them.

    Return the order and the positions between modules.
    """
    from scipy.cluster.hierarchy import fcluster, leaves_list, linkage
    from scipy.spatial.distance import pdist

    if len(weights) < 4:
        return np.arange(len(weights)), np.empty(0)
    background = np.quantile(weights[~np.eye(len(weights), dtype=bool)], _BACKGROUND)
    strong = np.sqrt(np.clip(weights - background, 0, None))
    halves = []
    for profiles in (strong, strong.T):
        lengths = np.linalg.norm(profiles, axis=1, keepdims=True)
        # A hub is compared by which genes it affects, not by how strongly.
        halves.append(profiles / (lengths + np.median(lengths) + 1e-12))
    tree = linkage(pdist(np.hstack(halves)), method="ward", optimal_ordering=len(weights) <= _MOST_ORDERED)
    order = leaves_list(tree)
    module = fcluster(tree, t=max(2, round(np.sqrt(len(weights)) / 1.5)), criterion="maxclust")[order]
    return order, np.flatnonzero(module[1:] != module[:-1]) + 0.5
