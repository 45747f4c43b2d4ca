"""Positions of genes in a drawing: components apart, connected genes close together, no overlap."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from catran_causalbench.utils.parallel import blas_on_one_thread

if TYPE_CHECKING:
    import networkx as nx

_CLEARANCE = 0.36  # least distance between genes, as a share of that of evenly spread genes
# Space between components, in units of about an edge's length; more horizontally, as labels stand beside genes.
_PADDING = np.array([0.9, 0.6])
_MARGIN = np.array([26.0, 18.0])  # points


def place_genes(graph: nx.DiGraph, radius: dict[str, float], page: tuple[float, float]) -> dict[str, np.ndarray]:
    """Return the position (x, y) of every gene; the same graph always gives the same positions.

    The graph has at least one edge. The radius of each gene, the page's width and height, and the positions are in
    points.
    """
    import networkx as nx

    components = sorted(nx.weakly_connected_components(graph), key=lambda genes: (-len(genes), min(genes)))
    with blas_on_one_thread():  # threads wait for each other longer than small products take
        boxes = [_component_layout(graph, sorted(genes)) for genes in components]
    corners = _pack([size for _, size in boxes], page[0] / page[1])
    genes = [gene for layout, _ in boxes for gene in layout]
    points = np.concatenate(
        [corner + np.array(list(layout.values())) for (layout, _), corner in zip(boxes, corners, strict=True)]
    )
    low, span = points.min(axis=0), np.ptp(points, axis=0)
    points = _MARGIN + (points - low) / np.maximum(span, 1e-9) * (np.array(page) - 2 * _MARGIN)
    points = _push_apart(points, np.array([radius[gene] for gene in genes]), np.array(page))
    return dict(zip(genes, points, strict=True))


def _component_layout(graph: nx.DiGraph, genes: list[str]) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return positions from (0, 0) in one component, its long side horizontal, and its size, about 1 per gene."""
    import networkx as nx

    component = nx.Graph()  # networkx's own subgraphs are ordered like a set, which changes from run to run
    component.add_nodes_from(genes)
    component.add_edges_from((source, target) for source in genes for target in sorted(graph[source]))
    layout = nx.kamada_kawai_layout(component, weight=None)
    points = np.array(list(layout.values()))
    points -= points.mean(axis=0)
    points = points @ np.linalg.svd(points, full_matrices=False)[2].T
    points -= points.min(axis=0)
    length, height = points.max(axis=0)
    if length > 0:  # a component of few genes may be flat; it needs little space
        points *= np.sqrt(1.4 * (len(genes) - 1.5) / (length * max(height, length / len(genes))))
    return dict(zip(layout, points, strict=True)), points.max(axis=0) + _PADDING


def _pack(sizes: list[np.ndarray], aspect: float) -> list[np.ndarray]:
    """Return the lower left corners of boxes that are packed in rows of one width, in the given order."""
    width = max([float(np.sqrt(aspect * sum(size.prod() for size in sizes))), *(size[0] for size in sizes)])
    corners, x, y, shelf = [], 0.0, 0.0, 0.0
    for size in sizes:
        if x + size[0] > width + 1e-9:
            x, y, shelf = 0.0, y - shelf, 0.0
        corners.append(np.array([x, y - size[1]]))
        x, shelf = x + size[0], max(shelf, float(size[1]))
    return corners


def _push_apart(points: np.ndarray, radius: np.ndarray, page: np.ndarray) -> np.ndarray:
    """Move genes apart that are too close to each other, a little at a time."""
    clearance = _CLEARANCE * np.sqrt(np.prod(page - 2 * _MARGIN) / max(len(points), 12))
    wanted = radius[:, None] + radius[None, :] + clearance
    for _ in range(200):
        apart = points[:, None] - points[None, :]
        distance = np.linalg.norm(apart, axis=2)
        np.fill_diagonal(distance, np.inf)
        lack = np.maximum(wanted - distance, 0)
        if not lack.any():
            break
        points = points + (apart / np.maximum(distance, 1e-6)[..., None] * lack[..., None]).sum(axis=1) * 0.3
        points = points.clip(_MARGIN, page - _MARGIN)
    return points
