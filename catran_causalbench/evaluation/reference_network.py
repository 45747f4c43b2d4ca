"""Precision, recall and F1 of edges against a reference network, such as STRING, CORUM or ChIP-seq."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from catran_causalbench.evaluation.edge_lists import check_ranking
from catran_causalbench.evaluation.reachability import adjacency_matrix


@dataclass(frozen=True)
class ReferenceMetrics:
    """Agreement with a reference network.

    Attributes
    ----------
    true_positives, num_predicted, num_reference
        Number of pairs in both, in the edges, and in the reference among the genes.
    """

    true_positives: int
    num_predicted: int
    num_reference: int

    @property
    def precision(self) -> float:
        """Share of the predicted pairs that are in the reference; NaN without any."""
        return _ratio(self.true_positives, self.num_predicted)

    @property
    def recall(self) -> float:
        """Share of the reference's pairs that are predicted; NaN without any."""
        return _ratio(self.true_positives, self.num_reference)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall, 0 where both are 0; NaN without any pairs."""
        return _ratio(2 * self.true_positives, self.num_predicted + self.num_reference)


def reference_metrics(
    source: np.ndarray, target: np.ndarray, network: np.ndarray, directed: bool = False
) -> ReferenceMetrics:
    """Compare edges with a reference network, of which CausalBench counts the true positives only.

    Edges are two arrays of length E, the columns of their genes; the network is bool, G × G, source × target, and its
    pairs of a gene with itself do not count. Precision, recall and F1 are those of sets of pairs: unordered pairs, so
    that a → b and b → a are one, unless the reference is ``directed``, as ChIP-seq is. Raise InputError where an edge
    is repeated or a self-edge.
    """
    check_ranking(source, target)
    predicted, known = adjacency_matrix(source, target, len(network)), network & ~np.eye(len(network), dtype=bool)
    if not directed:
        predicted, known = (np.triu(pairs | pairs.T) for pairs in (predicted, known))
    return ReferenceMetrics(*(int(np.count_nonzero(pairs)) for pairs in (predicted & known, predicted, known)))


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")
