"""Drawing of the strongest edges: hubs are large, arrowheads show the direction, colours and heads the regulation."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from catran_causalbench.plotting.labels import Label, place_labels
from catran_causalbench.plotting.layout import place_genes
from catran_causalbench.plotting.style import (
    ACTIVATION,
    FAINT,
    INK,
    REPRESSION,
    UNKNOWN,
    figure_of,
    height_of_title,
    name_axes,
    new_figure,
    save_figure,
    write_title,
)

if TYPE_CHECKING:
    import networkx as nx
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# With more edges, or more edges per gene, single ones can hardly be told apart.
MOST_EDGES, _MOST_PER_GENE = 120, 1.8
_SIZE = (7.2, 6.6)  # inches: the width of two columns of a journal
_LEGEND = 0.5  # inches
_HUB = 3  # targets of a hub, at least
_SMALLEST_RADIUS, _LARGEST_RADIUS = 2.6, 13.0  # points


# Colour, head and meaning of an edge by its regulation; in biology a T bar denotes repression.
_ARROW, _BAR = "-|>,head_length=0.55,head_width=0.27", "-[,widthB=0.5,lengthB=0"
_REGULATION = {
    1: (ACTIVATION, _ARROW, "activation"),
    -1: (REPRESSION, _BAR, "repression"),
    0: (UNKNOWN, _ARROW, "not known which"),
}


def draw_network(
    edges: pd.DataFrame,
    legible_only: bool = False,
    *,
    title: str = "",
    ax: Axes | None = None,
    save: str | os.PathLike[str] | None = None,
) -> Figure:
    """Draw the edges of a network.

    Parameters
    ----------
    edges
        Columns source, target and weight. A column ``regulation``, 1 for activation and −1 for repression, colours the
        edges; 0 and NaN are grey.
    legible_only
        Draw the strongest edges only, as many as can be told apart: 120 at most, fewer where they connect few genes.
        The figure says how many.
    title
        Description of the data.
    ax
        Axes to draw into, whose figure should have its final size: names of genes are placed by it. By default a new
        figure is made, with a title and a legend.
    save
        File to write the figure to (.png, .pdf, .svg).

    Returns
    -------
    Figure
        A new one is not managed by pyplot; the same edges give the same figure.
    """
    import networkx as nx

    ranked = edges.sort_values("weight", ascending=False, kind="stable")
    drawn = _legible(ranked) if legible_only else ranked
    regulation = _regulation_of(drawn)
    graph = nx.DiGraph()
    graph.add_nodes_from(sorted({*drawn["source"], *drawn["target"]}))
    graph.add_edges_from(zip(drawn["source"], drawn["target"], strict=True))

    if ax is None:
        figure = new_figure(_SIZE)
        top, bottom = height_of_title(title, _SIZE[0]) / _SIZE[1], _LEGEND / _SIZE[1]
        axes = figure.add_axes((0.015, bottom, 0.97, 1 - bottom - top))
    else:
        figure, axes = figure_of(ax), ax
        name_axes(axes, title)
    axes.set_axis_off()
    box = axes.get_window_extent()
    page = 72 * box.width / figure.dpi, 72 * box.height / figure.dpi  # one unit of the axes is one point
    axes.set(xlim=(0, page[0]), ylim=(0, page[1]))
    unnamed = 0
    if len(graph):
        radius = _radii(graph, min(page))
        place = place_genes(graph, radius, page)
        _draw_edges(axes, drawn, regulation, place, radius)
        _draw_genes(axes, graph, place, radius)
        unnamed = place_labels(axes, _labels(graph, place, radius), *_obstacles(graph, place, radius))
    if ax is None:
        count = (
            f"{len(drawn)} edges" if len(drawn) == len(edges) else f"the {len(drawn)} strongest of {len(edges):,} edges"
        )
        names = f"; names left out for lack of room: {unnamed}" if unnamed else ""
        write_title(figure, title, f"{count} between {len(graph)} genes{names}")
        _draw_legend(figure, graph, regulation)
    save_figure(figure, save)
    return figure


def _legible(edges: pd.DataFrame) -> pd.DataFrame:
    """Keep as many edges, the strongest first, as can be told apart."""
    edges, most = edges.head(MOST_EDGES), 0
    genes: set[str] = set()
    for number, pair in enumerate(zip(edges["source"], edges["target"], strict=True), 1):
        genes.update(pair)
        if number <= _MOST_PER_GENE * len(genes):
            most = number
    return edges.head(most)


def _regulation_of(edges: pd.DataFrame) -> np.ndarray:
    values = edges.get("regulation", 0 * edges["weight"])
    return np.sign(np.nan_to_num(values.to_numpy(float))).astype(int)


def _radii(graph: nx.DiGraph, page: float) -> dict[str, float]:
    """Return the radius of each gene in points; its area grows with its number of targets.

    Genes are smaller where there are many, or where the page, whose shorter side is given, is small.
    """
    degrees = dict(graph.out_degree())
    scale = min(1.0, page / 380) * min(1.0, (80 / max(len(graph), 1)) ** 0.5)
    most, span = max(8, *degrees.values()), _LARGEST_RADIUS**2 - _SMALLEST_RADIUS**2
    radius = {gene: float(np.sqrt(_SMALLEST_RADIUS**2 + span * degree / most)) for gene, degree in degrees.items()}
    return {gene: max(1.5, scale * size) for gene, size in radius.items()}


def _draw_edges(
    axes: Axes, edges: pd.DataFrame, regulation: np.ndarray, place: dict[str, np.ndarray], radius: dict[str, float]
) -> None:
    from matplotlib.patches import FancyArrowPatch

    weight = edges["weight"].to_numpy(float)
    strength = (weight - weight.min()) / max(np.ptp(weight), 1e-12)
    pairs = list(zip(edges["source"], edges["target"], strict=True))
    both_ways = set(pairs) & {(target, source) for source, target in pairs}
    thin = min(1.0, (MOST_EDGES / len(pairs)) ** 0.5)  # so that many edges leave something to see between them
    for (source, target), kind, force in zip(pairs, regulation, strength, strict=True):
        colour, head, _ = _REGULATION[kind]
        axes.add_patch(
            FancyArrowPatch(
                tuple(place[source]),
                tuple(place[target]),
                arrowstyle=head,
                connectionstyle=f"arc3,rad={0.22 if (source, target) in both_ways else 0.06}",
                mutation_scale=9 * max(thin, 0.6),
                shrinkA=radius[source] + 0.5,
                shrinkB=radius[target] + (2.0 if head == _BAR else 1.0),
                linewidth=(1.0 + 1.4 * force) * thin,
                color=colour,
                alpha=0.7 + 0.3 * force,
                zorder=2 + force,
                gid=f"{source}→{target}",
            )
        )


def _draw_genes(axes: Axes, graph: nx.DiGraph, place: dict[str, np.ndarray], radius: dict[str, float]) -> None:
    x, y = np.transpose([place[gene] for gene in graph])
    axes.scatter(
        x,
        y,
        s=[(2 * radius[gene]) ** 2 for gene in graph],
        c=[INK if graph.out_degree(gene) else "white" for gene in graph],
        edgecolors=[INK if graph.out_degree(gene) else FAINT for gene in graph],
        linewidths=1.0,
        zorder=4,
    )


def _labels(graph: nx.DiGraph, place: dict[str, np.ndarray], radius: dict[str, float]) -> list[Label]:
    """Return the names of all genes, those with most targets first."""
    labels = []
    for gene in sorted(graph, key=lambda gene: (-graph.out_degree(gene), -graph.in_degree(gene), gene)):
        hub = graph.out_degree(gene) >= _HUB
        size = min(7.0 + 0.25 * graph.out_degree(gene), 11) if hub else 6.4
        labels.append(Label(str(gene), place[gene], radius[gene], size, hub))
    return labels


def _obstacles(
    graph: nx.DiGraph, place: dict[str, np.ndarray], radius: dict[str, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the boxes of all genes, which names must not cover, and points along the edges, which they should not."""
    centres, radii = np.array(list(place.values())), np.array([[radius[gene] + 1] for gene in place])  # 1: the rim
    steps = np.linspace(0, 1, 25)[:, None]
    along = [place[source] + steps * (place[target] - place[source]) for source, target in graph.edges]
    return np.hstack([centres - radii, centres + radii]), np.concatenate(along)


def _draw_legend(figure: Figure, graph: nx.DiGraph, regulation: np.ndarray) -> None:
    from matplotlib.legend_handler import HandlerLine2D
    from matplotlib.lines import Line2D

    class HeadAtTheEnd(HandlerLine2D):
        def create_artists(self, *arguments: Any, **options: Any) -> Any:
            artists = super().create_artists(*arguments, **options)
            for artist in artists:
                artist.set(markevery=[1])
            return artists

    bar: dict[str, Any] = {"marker": "|", "markersize": 8, "markeredgewidth": 2}
    handles = [
        Line2D([], [], color=colour, linewidth=2, label=meaning, **(bar if head == _BAR else {"marker": ">"}))
        for kind, (colour, head, meaning) in _REGULATION.items()
        if kind in regulation
    ]
    at_the_end = {handle: HeadAtTheEnd(numpoints=2) for handle in handles}
    disc: dict[str, Any] = {"marker": "o", "linestyle": "", "markersize": 7}
    handles += [
        Line2D([], [], color=INK, linewidth=3, label="thicker: larger weight"),
        Line2D([], [], color=INK, label="larger: more targets", **disc),
    ]
    if any(not degree for _, degree in graph.out_degree()):
        handles.append(
            Line2D([], [], markerfacecolor="white", markeredgecolor=FAINT, label="hollow: no targets drawn", **disc)
        )
    place: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (0.005, 0.0), "ncols": 3}
    figure.legend(
        handles=handles,
        frameon=False,
        handler_map=at_the_end,
        fontsize=7.5,
        handlelength=2.0,
        handleheight=0.7,
        handletextpad=0.8,
        borderpad=0.4,
        columnspacing=1.6,
        **place,  # all of these, since libraries such as decoupler change their defaults
    )
