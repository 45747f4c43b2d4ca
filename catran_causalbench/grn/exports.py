"""What other programs take of a fitted network: tables, graphs and annotations, as its methods."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from catran_causalbench.config import CatranConfig
from catran_causalbench.errors import InputError
from catran_causalbench.utils.atomic_io import write_atomically

if TYPE_CHECKING:
    import networkx as nx
    import pandas as pd
    from anndata import AnnData

_INTERACTIONS = {1: "activates", -1: "represses"}


class NetworkExports:
    """What a network with edges and settings can give to pandas, decoupler, scanpy, networkx and Cytoscape."""

    gene_names: tuple[str, ...]
    config: CatranConfig
    seed: int

    @property
    def perturbed(self) -> np.ndarray:
        """One per gene: whether it was perturbed."""
        raise NotImplementedError

    def edges(self, num_edges: int | None = None) -> pd.DataFrame:
        """Return the strongest edges, best first."""
        raise NotImplementedError

    def to_regulon(self, num_edges: int | None = None) -> pd.DataFrame:
        """Return the strongest edges as decoupler takes them: source, target, weight (below 0 for repression).

        Edges of sources that were not perturbed are left out, because their sign is not known. All weights are 1 or −1
        for baselines whose scores are not sizes above 0 (Guanlab's log-odds, BetterBoost's ranks).
        """
        edges = self.edges(num_edges)
        edges = edges[edges["regulation"] != 0].reset_index(drop=True)
        size = edges["weight"] if (edges["weight"] > 0).all() else 1.0
        return edges[["source", "target"]].assign(weight=edges["regulation"] * size)

    def annotate(
        self, adata: AnnData, num_edges: int | None = None, *, key_added: str = "catran", copy: bool = False
    ) -> AnnData | None:
        """Put the strongest edges into ``adata.varp[key_added]``, sparse, source × target.

        Notes go into ``adata.uns[key_added]``. With ``copy``, an annotated copy is returned and ``adata`` left alone,
        as scanpy's functions do; else None is returned.

        Raises
        ------
        InputError
            A gene of the network is missing in ``adata``.
        """
        from scipy import sparse

        from catran_causalbench.data.gene_names import GeneNames

        names = GeneNames.of_every_column(adata.var).like(self.gene_names)
        column_of = {name: column for column, name in enumerate(names)}
        missing = [gene for gene in self.gene_names if gene not in column_of]
        if missing:
            raise InputError.of("adata", f"no gene {missing[0]!r}", "the genes of the network in var_names")
        edges = self.edges(num_edges)
        places = tuple(edges[end].map(column_of).to_numpy() for end in ("source", "target"))
        adata = adata.copy() if copy else adata
        adata.varp[key_added] = sparse.csr_matrix(
            (edges["weight"].to_numpy(), places), shape=(adata.n_vars, adata.n_vars)
        )
        adata.uns[key_added] = {"seed": self.seed, "edges": len(edges), "config": self.config.to_yaml()}
        return adata if copy else None

    def to_networkx(self, num_edges: int | None = None) -> nx.DiGraph:
        """Return the strongest edges as a graph, with the columns of :meth:`edges` as attributes.

        Where the effect was measured, ``interaction`` is ``activates`` or ``represses``; elsewhere effect, p_value,
        q_value and interaction are left out, since GraphML has no missing values.
        """
        import networkx as nx

        graph = nx.DiGraph()
        for edge in self.edges(num_edges).itertuples(index=False):
            numbers = {"rank": int(edge.rank), "weight": float(edge.weight), "regulation": int(edge.regulation)}
            measured = {name: float(getattr(edge, name)) for name in ("effect", "p_value", "q_value")}
            graph.add_edge(edge.source, edge.target, **numbers, **(measured if edge.source_perturbed else {}))
            if edge.regulation:
                graph.edges[edge.source, edge.target]["interaction"] = _INTERACTIONS[edge.regulation]
        perturbed = dict(zip(self.gene_names, self.perturbed.tolist(), strict=True))
        nx.set_node_attributes(graph, {gene: perturbed[gene] for gene in graph}, "perturbed")
        return graph

    def write_graphml(self, path: str | os.PathLike[str], num_edges: int | None = None) -> Path:
        """Write the strongest edges as GraphML, which Cytoscape and igraph read."""
        import networkx as nx

        return write_atomically(path, lambda temporary: nx.write_graphml(self.to_networkx(num_edges), temporary))

    def write_csv(self, path: str | os.PathLike[str], num_edges: int | None = None) -> Path:
        """Write the strongest edges as CSV, with the columns of :meth:`edges`."""
        return write_atomically(path, lambda temporary: self.edges(num_edges).to_csv(temporary, index=False))
