"""Precision, recall and F1 of edges against a reference network, such as STRING, CORUM or ChIP-seq."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from catran_causalbench.evaluation.edge_lists import check_ranking, edge_columns


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
    edges: Sequence[tuple[str, str]],
    reference: Iterable[tuple[str, str]],
    gene_names: Sequence[str],
    directed: bool = False,
) -> ReferenceMetrics:
    """Compare edges with a reference network, of which CausalBench counts the true positives only.

    The reference is restricted to pairs of two different genes of ``gene_names``, since no method could find the
    others. Precision, recall and F1 are those of sets of pairs: unordered pairs, so that a → b and b → a are one,
    unless the reference is ``directed``, as ChIP-seq is. Raise InputError where an edge is repeated, a self-edge, or
    has an unknown gene.
    """
    check_ranking(*edge_columns(edges, gene_names), gene_names)
    genes = set(gene_names)
    predicted = _pairs(edges, directed)
    known = _pairs(((a, b) for a, b in reference if a != b and a in genes and b in genes), directed)
    return ReferenceMetrics(len(predicted & known), len(predicted), len(known))


def _pairs(edges: Iterable[tuple[str, str]], directed: bool) -> set[tuple[str, str]]:
    return {(a, b) if directed or a < b else (b, a) for a, b in edges}


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")
