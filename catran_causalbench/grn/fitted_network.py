"""A fitted network: ranked edges with the effects that were measured, exports and pictures. It holds no cells."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from catran_causalbench.config import CatranConfig
from catran_causalbench.errors import InputError
from catran_causalbench.grn.edges import check_num_edges, rank_matrix
from catran_causalbench.utils.atomic_io import write_atomically

if TYPE_CHECKING:
    import networkx as nx
    import pandas as pd
    from anndata import AnnData
    from matplotlib.figure import Figure

_SHOWN_EDGES = 8


@dataclass(frozen=True, repr=False, eq=False)
class FittedNetwork:
    """What :func:`~catran_causalbench.fitting.fit` learned; G genes.

    Attributes
    ----------
    gene_names
        Length G, sorted.
    weights
        float32, G × G, source × target: attention of the target on the source; 0 on the diagonal.
    effects
        float32, G × G, source × target: mean of the target in the cells in which the source was perturbed minus its
        mean in controls, in the matrix's units; NaN where the source was not perturbed.
    cells
        How many cells counted as what: perturbed, control, combined, unlabelled, other.
    losses
        What training logged: columns ``step`` and ``loss/…``; without rows where nothing was trained.
    config, seed
        Of the run.
    origin
        What the data were, as far as known.
    """

    gene_names: tuple[str, ...]
    weights: np.ndarray
    effects: np.ndarray
    cells: dict[str, int]
    losses: pd.DataFrame
    config: CatranConfig
    seed: int
    origin: str

    @property
    def perturbed(self) -> np.ndarray:
        """G, true where cells with the gene perturbed were among the data."""
        return ~np.isnan(self.effects).all(axis=1)

    def edges(self, num_edges: int | None = None) -> pd.DataFrame:
        """Return the strongest edges, best first.

        Parameters
        ----------
        num_edges
            How many, by default ``config.output.edges``; all ordered pairs of genes where there are fewer.

        Returns
        -------
        DataFrame
            rank, source, target, weight, sign, effect, source_perturbed. ``effect`` is the measured shift of the
            target where the source was perturbed, in the matrix's units, NaN where it was not; ``sign`` is that of
            the effect, 0 where unknown. With knock-downs a negative effect speaks for activation. It is a difference
            of means and holds noise: weak effects may have the wrong sign.
        """
        wanted = self.config.output.edges if num_edges is None else check_num_edges(num_edges)
        ranked = rank_matrix(self.weights, wanted)
        effect = self.effects[ranked.source, ranked.target]
        return ranked.table(self.gene_names).assign(
            sign=np.sign(np.nan_to_num(effect)).astype(np.int8),
            effect=effect,
            source_perturbed=self.perturbed[ranked.source],
        )

    def adjacency(self) -> pd.DataFrame:
        """Return the weights of all pairs, source × target."""
        import pandas as pd

        genes = pd.Index(self.gene_names)
        return pd.DataFrame(self.weights, index=genes.rename("source"), columns=genes.rename("target"))

    def annotate(self, adata: AnnData, num_edges: int | None = None, key: str = "catran") -> None:
        """Put the strongest edges into ``adata.varp[key]`` (sparse, source × target) and notes into ``adata.uns[key]``.

        Parameters
        ----------
        adata
            Has the genes of the network among its own, by the same names; changed in place.
        num_edges
            How many, as for :meth:`edges`.
        key
            Name of both entries.

        Raises
        ------
        InputError
            A gene of the network is missing.
        """
        from scipy import sparse

        from catran_causalbench.data.anndata_reader import gene_names_like

        names = gene_names_like(adata.var, set(self.gene_names))
        column_of = {name: column for column, name in enumerate(names)}
        missing = [gene for gene in self.gene_names if gene not in column_of]
        if missing:
            raise InputError.of("adata", f"no gene {missing[0]!r}", "the genes of the network in var_names")
        edges = self.edges(num_edges)
        places = tuple(edges[end].map(column_of).to_numpy() for end in ("source", "target"))
        adata.varp[key] = sparse.csr_matrix((edges["weight"].to_numpy(), places), shape=(adata.n_vars, adata.n_vars))
        adata.uns[key] = {"seed": self.seed, "edges": len(edges), "config": self.config.to_yaml()}

    def to_networkx(self, num_edges: int | None = None) -> nx.DiGraph:
        """Return the strongest edges as a graph; edges have rank, weight, sign and, where measured, effect."""
        import networkx as nx

        graph = nx.DiGraph()
        for edge in self.edges(num_edges).itertuples(index=False):
            graph.add_edge(
                edge.source, edge.target, rank=int(edge.rank), weight=float(edge.weight), sign=int(edge.sign)
            )
            if edge.source_perturbed:  # GraphML has no mark for a missing number
                graph.edges[edge.source, edge.target]["effect"] = float(edge.effect)
        perturbed = dict(zip(self.gene_names, self.perturbed.tolist(), strict=True))
        nx.set_node_attributes(graph, {gene: perturbed[gene] for gene in graph}, "perturbed")
        return graph

    def write_graphml(self, path: str | os.PathLike[str], num_edges: int | None = None) -> Path:
        """Write the strongest edges as GraphML, which Cytoscape and igraph open."""
        import networkx as nx

        return write_atomically(path, lambda temporary: nx.write_graphml(self.to_networkx(num_edges), temporary))

    def write_csv(self, path: str | os.PathLike[str], num_edges: int | None = None) -> Path:
        """Write the strongest edges as CSV, with the columns of :meth:`edges`."""
        return write_atomically(path, lambda temporary: self.edges(num_edges).to_csv(temporary, index=False))

    def plot_network(self, num_edges: int | None = None, *, title: str | None = None) -> Figure:
        """Draw the strongest edges; see :func:`~catran_causalbench.plotting.network.draw_network`."""
        from catran_causalbench.plotting.network import draw_network

        return draw_network(self.edges(num_edges), title=self.origin if title is None else title)

    def plot_attention(self, num_genes: int | None = 60, *, title: str | None = None) -> Figure:
        """Draw the weights between the strongest genes (None: all) as a heat map ordered by modules.

        See :func:`~catran_causalbench.plotting.attention.draw_attention`.
        """
        from catran_causalbench.plotting.attention import draw_attention

        return draw_attention(self.adjacency(), num_genes, title=self.origin if title is None else title)

    def plot_training(self, *, title: str | None = None) -> Figure:
        """Draw the losses that training logged.

        Raises
        ------
        InputError
            Nothing was logged: there was nothing to train from, or the run folder held a finished run.
        """
        from catran_causalbench.plotting.training import draw_training

        return draw_training(self.losses, title=self.origin if title is None else title)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write all of it but the cells into one .npz without pickle; ``catran_causalbench.load`` reads it."""
        from catran_causalbench.grn.network_file import save

        return save(self, path)

    def __repr__(self) -> str:
        best = self.edges(1).iloc[0]
        return (
            f"FittedNetwork: {self._summary()}; best edge {best['source']} → {best['target']}.\n"
            "See .edges(k), .adjacency(), .to_networkx(k), .plot_network(k), .save(path)."
        )

    def _repr_html_(self) -> str:
        from html import escape

        table = self.edges(_SHOWN_EDGES).to_html(index=False, border=0, float_format="{:.3g}".format, na_rep="–")
        heading = f"<b>FittedNetwork</b> {escape(self.origin)}<br>{escape(self._summary())}"
        return f"<div>{heading}{table}more: <code>.edges(k)</code>, <code>.plot_network(k)</code></div>"

    def _summary(self) -> str:
        excluded = sum(number for kind, number in self.cells.items() if kind not in ("control", "perturbed"))
        return (
            f"{len(self.gene_names):,} genes, {self.perturbed.sum():,} of them perturbed; "
            f"cells: {self.cells['perturbed']:,} perturbed, {self.cells['control']:,} control, {excluded:,} excluded"
        )
