"""Drawing of the strongest edges: hubs are large, arrowheads show the direction, colours and heads the regulation."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np

from catran_causalbench.plotting.layout import place_genes
from catran_causalbench.plotting.style import ACTIVATION, FAINT, INK, REPRESSION, UNKNOWN, new_figure, write_title

if TYPE_CHECKING:
    import networkx as nx
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# With more edges, or more edges per gene, a page is illegible.
MOST_EDGES, _MOST_PER_GENE = 120, 1.8
_SIZE = (7.6, 6.6)  # inches
_HUB = 3  # targets of a hub, which is always labelled, at least
_SMALLEST_RADIUS, _LARGEST_RADIUS = 2.6, 13.0  # points


# Colour, head and meaning of an edge by its regulation; in biology a T bar denotes repression.
_ARROW, _BAR = "-|>,head_length=0.55,head_width=0.27", "-[,widthB=0.5,lengthB=0"
_REGULATION = {
    1: (ACTIVATION, _ARROW, "activation"),
    -1: (REPRESSION, _BAR, "repression"),
    0: (UNKNOWN, _ARROW, "not known which"),
}


def draw_network(edges: pd.DataFrame, *, title: str = "") -> Figure:
    """Draw the strongest edges of a network.

    Parameters
    ----------
    edges
        Columns source, target and weight. A column ``regulation``, 1 for activation and −1 for repression, colours the
        edges; 0 and NaN are grey. At most the 120 strongest edges are drawn, fewer where they connect few genes; the
        figure says how many.
    title
        Description of the data.

    Returns
    -------
    Figure
        Not managed by pyplot; the same edges give the same figure.
    """
    import networkx as nx

    drawn = _legible(edges.sort_values("weight", ascending=False, kind="stable"))
    regulation = _regulation_of(drawn)
    graph = nx.DiGraph()
    graph.add_nodes_from(sorted({*drawn["source"], *drawn["target"]}))
    graph.add_edges_from(zip(drawn["source"], drawn["target"], strict=True))

    figure = new_figure(_SIZE)
    axes = figure.add_axes((0.02, 0.075, 0.96, 0.845))
    axes.set_axis_off()
    page = 72 * _SIZE[0] * 0.96, 72 * _SIZE[1] * 0.845  # one unit of the axes is one point
    axes.set(xlim=(0, page[0]), ylim=(0, page[1]))
    if len(graph):
        radius = _radii(graph)
        place = place_genes(graph, radius, page)
        _draw_edges(axes, drawn, regulation, place, radius)
        _draw_genes(axes, graph, place, radius)
        _draw_labels(axes, graph, place, radius)
    count = f"{len(drawn)} edges" if len(drawn) == len(edges) else f"the {len(drawn)} strongest of {len(edges):,} edges"
    write_title(figure, title, f"{count} between {len(graph)} genes")
    _draw_legend(figure, regulation)
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


def _radii(graph: nx.DiGraph) -> dict[str, float]:
    """Return the radius of each gene in points; its area grows with its number of targets."""
    degrees = dict(graph.out_degree())
    most, span = max(8, *degrees.values()), _LARGEST_RADIUS**2 - _SMALLEST_RADIUS**2
    return {gene: float(np.sqrt(_SMALLEST_RADIUS**2 + span * degree / most)) for gene, degree in degrees.items()}


def _draw_edges(
    axes: Axes, edges: pd.DataFrame, regulation: np.ndarray, place: dict[str, np.ndarray], radius: dict[str, float]
) -> None:
    from matplotlib.patches import FancyArrowPatch

    weight = edges["weight"].to_numpy(float)
    strength = (weight - weight.min()) / max(np.ptp(weight), 1e-12)
    pairs = list(zip(edges["source"], edges["target"], strict=True))
    both_ways = set(pairs) & {(target, source) for source, target in pairs}
    for (source, target), kind, force in zip(pairs, regulation, strength, strict=True):
        colour, head, _ = _REGULATION[kind]
        axes.add_patch(
            FancyArrowPatch(
                tuple(place[source]),
                tuple(place[target]),
                arrowstyle=head,
                connectionstyle=f"arc3,rad={0.22 if (source, target) in both_ways else 0.06}",
                mutation_scale=9,
                shrinkA=radius[source] + 0.5,
                shrinkB=radius[target] + (2.0 if head == _BAR else 1.0),
                linewidth=1.0 + 1.4 * force,
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


def _draw_labels(axes: Axes, graph: nx.DiGraph, place: dict[str, np.ndarray], radius: dict[str, float]) -> None:
    """Label genes where there is room, those with most targets first; label hubs in any case."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.patheffects import withStroke

    renderer = FigureCanvasAgg(axes.get_figure(root=True)).get_renderer()
    to_points = axes.transData.inverted()
    page = np.array([axes.get_xlim()[1], axes.get_ylim()[1]])
    centres, radii = np.array(list(place.values())), np.array([[radius[gene]] for gene in place])
    taken = np.hstack([centres - radii, centres + radii])
    steps = np.linspace(0, 1, 25)[:, None]
    along_edges = np.concatenate(
        [place[source] + steps * (place[target] - place[source]) for source, target in graph.edges]
    )

    def cost(box: np.ndarray) -> float:
        """Return the cost of a label's position; from 100 on, it covers something or leaves the page."""
        low, high = box[:2], box[2:]
        covered = np.all((low < taken[:, 2:]) & (high > taken[:, :2]), axis=1)
        crossed = np.all((along_edges > low) & (along_edges < high), axis=1)
        off_page = bool((low < 0).any() or (high > page).any())
        return 100.0 * covered.sum() + 200.0 * covered[len(place) :].sum() + 1000.0 * off_page + crossed.sum()

    for gene in sorted(graph, key=lambda gene: (-graph.out_degree(gene), -graph.in_degree(gene), gene)):
        hub = graph.out_degree(gene) >= _HUB
        size, weight = (min(7.0 + 0.25 * graph.out_degree(gene), 11), "bold") if hub else (6.2, "normal")
        text = axes.text(0, 0, gene, fontsize=size, fontweight=weight, color=INK, zorder=6, parse_math=False)
        text.set_path_effects([withStroke(linewidth=2, foreground="white")])
        spots = []
        for gap, (across, up, horizontal, vertical) in itertools.product(_GAPS if hub else _GAPS[:1], _SPOTS):
            x, y = place[gene] + (radius[gene] + gap) * np.array([across, up])
            spot = {"x": x, "y": y, "ha": horizontal, "va": vertical}
            text.set(**spot)
            box = np.array(to_points.transform_bbox(text.get_window_extent(renderer)).extents)
            spots.append((cost(box) + gap, box, spot))
        lowest, box, spot = min(spots, key=lambda candidate: candidate[0])
        if lowest < 100 or hub:
            text.set(**spot)
            taken = np.vstack([taken, box])
        else:
            text.remove()


# Possible positions of a label, best first: points from its gene (larger gaps for hubs only), and sides.
_GAPS = (1.5, 7.0, 14.0)
_SPOTS = (
    (1.0, 0.0, "left", "center_baseline"),
    (-1.0, 0.0, "right", "center_baseline"),
    (0.0, 1.0, "center", "bottom"),
    (0.0, -1.0, "center", "top"),
    (0.7, 0.7, "left", "bottom"),
    (-0.7, 0.7, "right", "bottom"),
    (0.7, -0.7, "left", "top"),
    (-0.7, -0.7, "right", "top"),
)


def _draw_legend(figure: Figure, regulation: np.ndarray) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=colour, linewidth=2, label=meaning)
        for kind, (colour, _, meaning) in _REGULATION.items()
        if kind in regulation
    ]
    handles.append(Line2D([], [], color=INK, marker="o", linestyle="", markersize=7, label="larger: more targets"))
    place: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (0.005, 0.0), "ncols": 4}
    figure.legend(handles=handles, frameon=False, fontsize=7.5, handlelength=1.6, **place)
