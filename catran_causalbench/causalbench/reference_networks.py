"""CausalBench's reference networks: their pairs, and the true positives that CausalBench counts."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from causalscbench.evaluation.biological_evaluation import Evaluator

from catran_causalbench.evaluation.edge_lists import edge_columns
from catran_causalbench.evaluation.held_out import HeldOutEvaluator

Pairs = set[tuple[str, str]]

# In the order in which CausalBench loads them.
NAMES = ("corum", "ligand_receptor", "string_network", "string_physical", "chipseq")
DIRECTED = ("chipseq", "pooled_biological_sigificant")  # CausalBench's spelling


@dataclass(frozen=True)
class ReferenceNetworks:
    """Pairs by the name of their network: the five networks that CausalBench reads, and two pooled from them.

    The pooled networks hold all pairs in both directions, and those of them whose target changes significantly in the
    held-out cells.
    """

    pairs: dict[str, Pairs]

    @classmethod
    def read(cls, directory: Path, dataset_name: str, held_out: HeldOutEvaluator) -> ReferenceNetworks:
        """Read the networks through CausalBench, which downloads missing files: check the directory first."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # from pkg_resources, and from scanpy about how CausalBench calls it
            from causalscbench.data_access.create_evaluation_datasets import CreateEvaluationDatasets

            networks = CreateEvaluationDatasets(str(directory), dataset_name).load()
        pairs: dict[str, Pairs] = dict(zip(NAMES, networks, strict=True))
        pooled = set().union(*pairs.values())
        pairs["pooled_biological"] = pooled | {(target, source) for source, target in pooled}
        pairs["pooled_biological_sigificant"] = _significant(pairs["pooled_biological"], held_out)
        return cls(pairs)

    def true_positives(self, edges: Sequence[tuple[str, str]]) -> dict[str, Any]:
        """Count true positives as CausalBench does: ``NAME_evaluation`` → ``{"true_positives": …}``."""
        return {
            f"{name}_evaluation": Evaluator(pairs).evaluate_network(list(edges), directed=name in DIRECTED)
            for name, pairs in self.pairs.items()
        }


def _significant(pairs: Pairs, held_out: HeldOutEvaluator) -> Pairs:
    """Return the pairs whose target changes significantly; sources without held-out cells cannot be tested."""
    genes = {gene for gene, cells in zip(held_out.gene_names, held_out.num_cells, strict=True) if cells}
    tested = sorted((a, b) for a, b in pairs if a != b and a in genes and b in held_out.gene_names)
    significant = held_out.compare(*edge_columns(tested, held_out.gene_names)).significant
    return {tested[position] for position in np.flatnonzero(significant)}
