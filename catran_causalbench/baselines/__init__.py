"""Rivals of CaTran behind one signature: same cells, same number of edges, training cells only.

A rival is a function ``name(dataset, seed)`` that returns a genes × genes array, source × target: the higher, the
better the edge; ``-inf`` where the method knows no such edge. What lies on the diagonal is ignored. Each was written
from its description; where it differs from its authors' code, its docstring says so. They load on first use.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable

import numpy as np

from catran_causalbench.data.dataset import PerturbationDataset
from catran_causalbench.errors import InputError
from catran_causalbench.grn.edges import RankedEdges, rank_matrix

_HOMES = {
    "random": "statistics",
    "correlation": "statistics",
    "mean_difference": "statistics",
    "effect_size": "statistics",
    "guanlab": "guanlab",
    "betterboost": "betterboost",
    "sparserc": "sparserc",
    "grnboost": "grnboost",
    "dcdi_g": "dcdi",
    "dcdi_dsf": "dcdi",
    "dcdfg_lin": "dcdi",
    "dcdfg_mlp": "dcdi",
}


def rival_names() -> list[str]:
    """Names of the rivals, from the simplest to the most laborious."""
    return list(_HOMES)


def rival_scores(name: str) -> Callable[[PerturbationDataset, int], np.ndarray]:
    """Find a rival by name.

    Returns
    -------
    callable
        ``scores(dataset, seed)``, as the module's docstring says.

    Raises
    ------
    InputError
        Where there is no such rival.
    """
    if name not in _HOMES:
        raise InputError.of("rival", f"{name!r}", f"one of {', '.join(_HOMES)}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def rival_edges(name: str, dataset: PerturbationDataset, num_edges: int, seed: int) -> RankedEdges:
    """Let a rival rank the pairs of genes.

    A method that knows fewer edges than asked for (Mean Difference knows none from an unperturbed gene) is given the
    rest at random: the challenge wants a fixed number, and a random edge is what knowing nothing is worth.

    Parameters
    ----------
    name
        One of :func:`rival_names`.
    dataset
        The training cells.
    num_edges
        How many edges; all G·(G−1) where there are fewer.
    seed
        Decides every random draw, those of the added edges included.

    Returns
    -------
    RankedEdges
        Exactly so many distinct edges, best first; added ones come last, with weight ``-inf``.

    Raises
    ------
    InputError
        Where there is no such rival.
    """
    return edges_of_scores(rival_scores(name)(dataset, seed), num_edges, seed)


def edges_of_scores(scores: np.ndarray, num_edges: int, seed: int) -> RankedEdges:
    """Rank the pairs that a rival scored, and add random ones where it knows too few; see :func:`rival_edges`."""
    known = rank_matrix(scores, num_edges)
    if len(known) == num_edges:
        return known
    draws = np.random.default_rng(seed).random(scores.shape)
    draws[known.source, known.target] = -np.inf
    added = rank_matrix(draws, num_edges - len(known))
    return RankedEdges(
        np.concatenate([known.source, added.source]),
        np.concatenate([known.target, added.target]),
        np.concatenate([known.weight, np.full(len(added), -np.inf)]),
    )
