"""Weights of all pairs become a ranked edge list (paper §1.5), block by block."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from catran_causalbench.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

_PAIRS_PER_BLOCK = 2**23


@dataclass(frozen=True)
class RankedEdges:
    """Distinct directed edges, best first.

    Attributes
    ----------
    source, target
        Columns of the genes.
    weight
        Weight of the edge: attention of the target on the source, or a baseline's score.
    """

    source: np.ndarray
    target: np.ndarray
    weight: np.ndarray

    def __len__(self) -> int:
        return len(self.weight)

    def table(self, gene_names: Sequence[str]) -> pd.DataFrame:
        """Return the edges as a data frame: rank (from 1), source, target, weight."""
        import pandas as pd

        names = np.array(gene_names, dtype=object)
        return pd.DataFrame(
            {
                "rank": np.arange(1, len(self) + 1),
                "source": names[self.source],
                "target": names[self.target],
                "weight": self.weight,
            }
        )


def check_num_edges(num_edges: int) -> int:
    """Return how many edges were asked for; raise InputError where that is no whole number above zero."""
    if isinstance(num_edges, bool) or not isinstance(num_edges, int | np.integer) or num_edges < 1:
        raise InputError.of("num_edges", repr(num_edges), "a whole number, one or more")
    return int(num_edges)


def collect_weights(attention_rows: Callable[[np.ndarray], np.ndarray], num_genes: int) -> np.ndarray:
    """Collect the weights of all pairs, block by block.

    Parameters
    ----------
    attention_rows
        Returns, for some targets, their attention on all genes: targets × num_genes.
    num_genes
        Genes, G.

    Returns
    -------
    numpy.ndarray
        G × G, source × target, 0 on the diagonal.
    """
    blocks = (attention_rows(targets).T for targets in _target_blocks(num_genes))
    first = next(blocks)
    weights = np.empty((num_genes, num_genes), first.dtype)
    weights[:, : first.shape[1]] = first
    start = first.shape[1]
    for block in blocks:
        weights[:, start : start + block.shape[1]] = block
        start += block.shape[1]
    np.fill_diagonal(weights, 0)
    return weights


def rank_edges(weights: np.ndarray, num_edges: int) -> RankedEdges:
    """Return the edges of greatest weight among all ordered pairs of different genes.

    Parameters
    ----------
    weights
        G × G, source × target; pairs with the weight ``-inf`` are no edges, and the diagonal is not looked at.
    num_edges
        How many edges; all that there are where there are fewer.

    Returns
    -------
    RankedEdges
        Sorted by falling weight; equal weights by source, then target.
    """
    best = RankedEdges(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32))
    for targets in _target_blocks(len(weights)):
        rows = np.array(weights[:, targets].T)
        rows[np.arange(len(targets)), targets] = -np.inf  # no self-edges
        threshold = best.weight[-1] if len(best) == num_edges else np.finfo(rows.dtype).min
        row, source = np.nonzero(rows >= threshold)
        best = _best_of(best, RankedEdges(source, targets[row], rows[row, source]), num_edges)
    return best


def complete_edges(known: RankedEdges, num_genes: int, num_edges: int, seed: int) -> RankedEdges:
    """Add random edges where a method knows too few.

    The challenge wants a fixed number of edges, and a random edge is what a method scores that knows nothing.

    Parameters
    ----------
    known
        Distinct edges, best first.
    num_genes
        Genes, G.
    num_edges
        How many edges to return; all G·(G − 1) where there are fewer.
    seed
        Decides the draw.

    Returns
    -------
    RankedEdges
        The known edges, then the random ones with weight ``-inf``.
    """
    if len(known) == num_edges:
        return known
    draws = np.random.default_rng(seed).random((num_genes, num_genes))
    draws[known.source, known.target] = -np.inf
    added = rank_edges(draws, num_edges - len(known))
    return RankedEdges(
        np.concatenate([known.source, added.source]),
        np.concatenate([known.target, added.target]),
        np.concatenate([known.weight, np.full(len(added), -np.inf)]),
    )


def _target_blocks(num_genes: int) -> Iterator[np.ndarray]:
    """Yield the targets in blocks whose pairs fit the memory."""
    size = max(1, _PAIRS_PER_BLOCK // num_genes)
    return (np.arange(start, min(start + size, num_genes)) for start in range(0, num_genes, size))


def _best_of(first: RankedEdges, second: RankedEdges, count: int) -> RankedEdges:
    """Merge two sets of edges and keep the best."""
    source, target, weight = (
        np.concatenate([getattr(first, name), getattr(second, name)]) for name in ("source", "target", "weight")
    )
    if len(weight) > count:
        kept = weight >= np.partition(weight, -count)[-count]  # ties included, so that their order is decided below
        source, target, weight = source[kept], target[kept], weight[kept]
    order = np.lexsort((target, source, -weight))[:count]
    return RankedEdges(source[order], target[order], weight[order])
