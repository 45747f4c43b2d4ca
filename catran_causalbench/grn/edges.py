"""Attention becomes a ranked edge list (paper §1.5), block by block, never holding all pairs at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
        Attention of the target on the source.
    """

    source: np.ndarray
    target: np.ndarray
    weight: np.ndarray

    def __len__(self) -> int:
        return len(self.weight)

    def table(self, gene_names: Sequence[str]) -> pd.DataFrame:
        """Edges as a data frame: rank (from 1), source, target, weight."""
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
    """Return how many edges were asked for; InputError where that is no whole number above zero."""
    if isinstance(num_edges, bool) or not isinstance(num_edges, int | np.integer) or num_edges < 1:
        raise InputError.of("num_edges", repr(num_edges), "a whole number, one or more")
    return int(num_edges)


def rank_edges(attention_rows: Callable[[np.ndarray], np.ndarray], num_genes: int, num_edges: int) -> RankedEdges:
    """Find the edges of greatest weight among all ordered pairs of different genes.

    Parameters
    ----------
    attention_rows
        Gives, for some targets, their attention on all genes: targets × num_genes.
    num_genes
        Genes, G.
    num_edges
        How many edges; all G·(G−1) where there are fewer.

    Returns
    -------
    RankedEdges
        Sorted by falling weight; equal weights by source, then target.
    """
    best = RankedEdges(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32))
    rows = max(1, _PAIRS_PER_BLOCK // num_genes)
    for start in range(0, num_genes, rows):
        targets = np.arange(start, min(start + rows, num_genes))
        weights = np.array(attention_rows(targets))
        weights[np.arange(len(targets)), targets] = -np.inf  # no self-edges
        threshold = best.weight[-1] if len(best) == num_edges else np.finfo(weights.dtype).min
        row, source = np.nonzero(weights >= threshold)
        best = _best_of(best, RankedEdges(source, targets[row], weights[row, source]), num_edges)
    return best


def rank_matrix(scores: np.ndarray, num_edges: int) -> RankedEdges:
    """Rank all pairs by a matrix of scores, G × G, source × target; pairs that score ``-inf`` are no edges."""
    return rank_edges(lambda targets: scores[:, targets].T, len(scores), num_edges)


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
