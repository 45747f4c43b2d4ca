"""Positions of genes in a drawing: components apart, connected genes close together, no overlaps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import networkx as nx

# Least distance between genes, as a share of what it would be if all were spread evenly.
_CLEARANCE = 0.36
# Space between components, in units of about an edge's length: labels stand beside genes, so it is larger horizontally.
_PADDING = np.array([0.9, 0.6])


def place_genes(graph: nx.DiGraph, radius: dict[str, float], page: tuple[float, float]) -> dict[str, np.ndarray]:
    """Find a position for every gene.

    Parameters
    ----------
    graph
        Edges to be drawn, at least one.
    radius
        Of each gene, in points.
    page
        Width and height in points.

    Returns
    -------
    dict
        Gene → (x, y) in points; the same graph always gives the same positions.
    """
    import networkx as nx

    components = sorted(nx.weakly_connected_components(graph), key=lambda genes: (-len(genes), min(genes)))
    boxes = [_component_layout(graph, sorted(genes)) for genes in components]
    corners = _pack([size for _, size in boxes], page[0] / page[1])
    genes = [gene for layout, _ in boxes for gene in layout]
    points = np.concatenate(
        [corner + np.array(list(layout.values())) for (layout, _), corner in zip(boxes, corners, strict=True)]
    )
    margin = np.array([26.0, 18.0])
    low, span = points.min(axis=0), np.ptp(points, axis=0)
    points = margin + (points - low) / np.maximum(span, 1e-9) * (np.array(page) - 2 * margin)
    points = _push_apart(points, np.array([radius[gene] for gene in genes]), np.array(page), margin)
    return dict(zip(genes, points, strict=True))


def _component_layout(graph: nx.DiGraph, genes: list[str]) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Lay out one component, long side horizontal, from (0, 0), about one unit square per gene; return its size too."""
    import networkx as nx

    component = nx.Graph()  # a subgraph of networkx has the order of a set, which changes from run to run
    component.add_nodes_from(genes)
    component.add_edges_from((source, target) for source in genes for target in sorted(graph[source]))
    layout = nx.kamada_kawai_layout(component, weight=None)
    points = np.array(list(layout.values()))
    points -= points.mean(axis=0)
    points = points @ np.linalg.svd(points, full_matrices=False)[2].T
    points -= points.min(axis=0)
    length, height = points.max(axis=0)
    if length > 0:  # a component of few genes may be flat and needs little space
        points *= np.sqrt(1.4 * (len(genes) - 1.5) / (length * max(height, length / len(genes))))
    return dict(zip(layout, points, strict=True)), points.max(axis=0) + _PADDING


def _pack(sizes: list[np.ndarray], aspect: float) -> list[np.ndarray]:
    """Place boxes in rows of one width, largest first."""
    width = max([float(np.sqrt(aspect * sum(size.prod() for size in sizes))), *(size[0] for size in sizes)])
    corners, x, y, shelf = [], 0.0, 0.0, 0.0
    for size in sizes:
        if x + size[0] > width + 1e-9:
            x, y, shelf = 0.0, y - shelf, 0.0
        corners.append(np.array([x, y - size[1]]))
        x, shelf = x + size[0], max(shelf, float(size[1]))
    return corners


def _push_apart(points: np.ndarray, radius: np.ndarray, page: np.ndarray, margin: np.ndarray) -> np.ndarray:
    """Move genes that are too close apart, a little at a time."""
    room = _CLEARANCE * np.sqrt(np.prod(page - 2 * margin) / max(len(points), 12))
    wanted = radius[:, None] + radius[None, :] + room
    for _ in range(200):
        apart = points[:, None] - points[None, :]
        distance = np.linalg.norm(apart, axis=2)
        np.fill_diagonal(distance, np.inf)
        lack = np.maximum(wanted - distance, 0)
        if not lack.any():
            break
        points = points + (apart / np.maximum(distance, 1e-6)[..., None] * lack[..., None]).sum(axis=1) * 0.3
        points = points.clip(margin, page - margin)
    return points
