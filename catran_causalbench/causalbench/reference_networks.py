"""The networks against which CausalBench counts true positives, and how far edges agree with them."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import reduce

import numpy as np

from catran_causalbench.causalbench.reference_files import Networks
from catran_causalbench.evaluation.held_out import HeldOutEvaluator
from catran_causalbench.evaluation.reference_network import ReferenceMetrics, reference_metrics

_LOG = logging.getLogger(__name__)

DIRECTED = ("chipseq", "pooled_biological_sigificant")  # CausalBench's spelling


@dataclass(frozen=True)
class ReferenceNetworks:
    """Networks by name: the five that CausalBench reads, and two pooled from them.

    Each is bool, G × G, source × target. The pooled networks hold the pairs of all five in both directions, and those
    of them whose target changes significantly in the held-out cells.
    """

    networks: dict[str, np.ndarray]

    @classmethod
    def of(cls, known: Networks, held_out: HeldOutEvaluator) -> ReferenceNetworks:
        """Pool the five networks, and tell which symbols are ambiguous."""
        if known.ambiguous:
            names = ", ".join(known.ambiguous[:5]) + ", …" * (len(known.ambiguous) > 5)
            advice = "CausalBench draws one of them at every start, here it is the perturbed one"
            _LOG.warning("%s: symbols of several genes; %s.", names, advice)
        pooled = reduce(np.logical_or, known.pairs.values())
        pooled = pooled | pooled.T
        source, target = np.nonzero(pooled & (held_out.num_cells > 0)[:, None])
        significant = np.zeros_like(pooled)
        significant[source, target] = held_out.compare(source, target).significant
        return cls({**known.pairs, "pooled_biological": pooled, "pooled_biological_sigificant": significant})

    def agreement(self, source: np.ndarray, target: np.ndarray) -> dict[str, ReferenceMetrics]:
        """Compare edges, given by the columns of their genes, with each network.

        True positives are counted as CausalBench counts them. Raise InputError for self-edges and repeated edges.
        """
        return {
            name: reference_metrics(source, target, network, name in DIRECTED)
            for name, network in self.networks.items()
        }
