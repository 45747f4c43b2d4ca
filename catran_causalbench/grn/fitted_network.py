"""The result of every method: a weight for each pair of genes, and the measured effects, but no cells."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from catran_causalbench.config import CatranConfig
from catran_causalbench.errors import InputError, warn
from catran_causalbench.grn.edges import complete_edges, rank_edges
from catran_causalbench.utils.atomic_io import write_atomically
from catran_causalbench.utils.validation import checked, number

if TYPE_CHECKING:
    import networkx as nx
    import pandas as pd
    from anndata import AnnData
    from matplotlib.figure import Figure

_AT_LEAST_ONE = number(low=1).metadata
_FORMAT, _FORMAT_VERSION = "catran-causalbench fitted network", 2
_ARRAYS = {"description": "U", "gene_names": "U", "weights": "f", "effects": "f", "history": "f"}


@dataclass(frozen=True, repr=False, eq=False)
class FittedNetwork:
    """What a method inferred from a data set; G genes.

    Attributes
    ----------
    gene_names
        Length G, sorted.
    weights
        G × G, source × target: attention of the target on the source, or a baseline's score; 0 on the diagonal,
        ``-inf`` where a method knows no edge.
    effects
        float32, G × G, source × target: mean of the target in the cells in which the source was perturbed minus its
        mean in controls, in the units of the data; NaN where the source was not perturbed.
    history
        Losses of the training: columns ``step`` and ``loss/…``; no rows where nothing was trained.
    method, config, seed
        Of the run.
    cells
        Number of perturbed and of control cells, and of excluded cells by the reason.
    origin
        Description of the data, if known.
    """

    gene_names: tuple[str, ...]
    weights: np.ndarray
    effects: np.ndarray
    history: pd.DataFrame
    method: str
    config: CatranConfig
    seed: int
    cells: dict[str, int] = field(default_factory=dict)
    origin: str = ""

    @property
    def perturbed(self) -> np.ndarray:
        """G, true where the data held cells in which the gene was perturbed."""
        return ~np.isnan(self.effects).all(axis=1)

    def edges(self, num_edges: int | None = None, *, complete: bool = False) -> pd.DataFrame:
        """Return the strongest edges, best first.

        Parameters
        ----------
        num_edges
            Number of edges, by default ``config.output.edges``; where the method knows fewer, all of them are returned.
        complete
            Add random edges, last and with weight ``-inf``, where the method knows too few: benchmarks compare equal
            numbers of edges. If there are not enough pairs of genes, warn and return all.

        Returns
        -------
        DataFrame
            rank, source, target, weight, sign, effect, source_perturbed. ``effect`` is the measured effect of the
            source's perturbation on the target, NaN where the source was not perturbed; ``sign`` is the effect's, 0
            where it is unknown. After a knockdown a negative effect indicates activation. As a difference of means it
            contains noise: weak effects may have the wrong sign.

        Raises
        ------
        InputError
            ``num_edges`` is not a whole number above zero.
        """
        wanted = self.config.output.edges if num_edges is None else checked("num_edges", num_edges, int, _AT_LEAST_ONE)
        genes = len(self.gene_names)
        ranked = rank_edges(self.weights, wanted)
        if complete:
            pairs = genes * (genes - 1)
            if pairs < wanted:
                found = f"{wanted} edges were asked for, but there are only {pairs} pairs of genes: returning them all"
                warn(found)
            ranked = complete_edges(ranked, genes, wanted, self.seed)
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
        """Put the strongest edges into ``adata.varp[key]`` (sparse, source × target), notes into ``adata.uns[key]``.

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
        adata.varp[key] = sparse.csr_matrix((edges["weight"].to_numpy(), places), shape=(adata.n_vars, adata.n_vars))
        adata.uns[key] = {"seed": self.seed, "edges": len(edges), "config": self.config.to_yaml()}

    def to_networkx(self, num_edges: int | None = None) -> nx.DiGraph:
        """Return the strongest edges as a graph, with rank, weight, sign and, where measured, effect."""
        import networkx as nx

        graph = nx.DiGraph()
        for edge in self.edges(num_edges).itertuples(index=False):
            measured = {"effect": float(edge.effect)} if edge.source_perturbed else {}  # GraphML has no missing numbers
            numbers = {"rank": int(edge.rank), "weight": float(edge.weight), "sign": int(edge.sign)}
            graph.add_edge(edge.source, edge.target, **numbers, **measured)
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

    def plot_network(self, num_edges: int | None = None, *, title: str | None = None) -> Figure:
        """Draw the strongest edges; see :func:`~catran_causalbench.plotting.network.draw_network`."""
        from catran_causalbench.plotting.network import draw_network

        return draw_network(self.edges(num_edges), title=self.origin if title is None else title)

    def plot_attention(self, num_genes: int | None = 60, *, title: str | None = None) -> Figure:
        """Draw the weights as a heat map; see :func:`~catran_causalbench.plotting.attention.draw_attention`."""
        from catran_causalbench.plotting.attention import draw_attention

        return draw_attention(self.adjacency(), num_genes, title=self.origin if title is None else title)

    def plot_training(self, *, title: str | None = None) -> Figure:
        """Draw the losses of the training; raise InputError where nothing was trained."""
        from catran_causalbench.plotting.training import draw_training

        return draw_training(self.history, title=self.origin if title is None else title)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the network into an .npz without pickled objects, which :func:`load` reads.

        Raises
        ------
        InputError
            The name does not end in .npz, or the file cannot be written.
        """
        if Path(path).suffix != ".npz":
            raise InputError.of("path", repr(os.fspath(path)), "a name that ends in .npz")
        description = {
            "format": _FORMAT,
            "version": _FORMAT_VERSION,
            "method": self.method,
            "config": self.config.to_mapping(),
            "seed": self.seed,
            "origin": self.origin,
            "cells": self.cells,
            "history": list(self.history.columns),
        }
        arrays = {
            "description": np.array(json.dumps(description)),
            "gene_names": np.array(self.gene_names),
            "weights": self.weights,
            "effects": self.effects,
            "history": self.history.to_numpy(float),
        }
        return write_atomically(path, lambda temporary: np.savez_compressed(temporary, **arrays))

    def __repr__(self) -> str:
        best = self.edges(1)
        strongest = f"; best edge {best['source'][0]} → {best['target'][0]}" if len(best) else ""
        return (
            f"FittedNetwork: {self._summary()}{strongest}.\n"
            "See .edges(k), .adjacency(), .to_networkx(k), .plot_network(k), .save(path)."
        )

    def _repr_html_(self) -> str:
        from html import escape

        table = self.edges(8).to_html(index=False, border=0, float_format="{:.3g}".format, na_rep="–")
        heading = f"<b>FittedNetwork</b> {escape(self.origin)}<br>{escape(self._summary())}"
        return f"<div>{heading}{table}more: <code>.edges(k)</code>, <code>.plot_network(k)</code></div>"

    def _summary(self) -> str:
        counted = {"perturbed": 0, "control": 0, **self.cells}
        excluded = sum(number for kind, number in counted.items() if kind not in ("control", "perturbed"))
        return (
            f"{self.method}, {len(self.gene_names):,} genes, {self.perturbed.sum():,} of them perturbed; "
            f"cells: {counted['perturbed']:,} perturbed, {counted['control']:,} control, {excluded:,} excluded"
        )


def load(path: str | os.PathLike[str]) -> FittedNetwork:
    """Read a network that :meth:`FittedNetwork.save` wrote.

    Raises
    ------
    InputError
        The file is missing, damaged, or holds anything else.
    """
    import pandas as pd

    path = Path(path)
    if not path.is_file():
        raise InputError.of("path", f"no file {str(path)!r}", "an .npz that a fitted network was saved to")
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in _ARRAYS}
        description = json.loads(str(arrays["description"]))
        _check(description, arrays)
        return FittedNetwork(
            gene_names=tuple(arrays["gene_names"].tolist()),
            weights=arrays["weights"],
            effects=arrays["effects"],
            history=pd.DataFrame(arrays["history"], columns=description["history"]),
            method=str(description["method"]),
            config=CatranConfig.from_mapping(description["config"], path.name),
            seed=int(description["seed"]),
            cells={str(kind): int(number) for kind, number in description["cells"].items()},
            origin=str(description["origin"]),
        )
    except InputError:
        raise
    except Exception as error:  # zlib, zipfile, numpy and json raise nearly everything on a damaged file
        found = f"{path.name}, which cannot be read ({type(error).__name__}: {error})"
        raise InputError.of("path", found, "an .npz that a fitted network was saved to") from None


def _check(description: Any, arrays: dict[str, np.ndarray]) -> None:
    if description["format"] != _FORMAT:
        raise ValueError(f"its format is {description['format']!r}")
    if description["version"] != _FORMAT_VERSION:
        raise ValueError(f"its version is {description['version']}, this package reads {_FORMAT_VERSION}")
    genes = arrays["gene_names"].size
    shapes = {"gene_names": (genes,), "weights": (genes, genes), "effects": (genes, genes)}
    for name, kind in _ARRAYS.items():
        array = arrays[name]
        if array.dtype.kind != kind:
            raise ValueError(f"{name} holds values of type {array.dtype}")
        if array.shape != shapes.get(name, array.shape):
            raise ValueError(f"{name} has shape {array.shape} for {genes} genes")
    if np.isnan(arrays["weights"]).any() or np.isposinf(arrays["weights"]).any():
        raise ValueError("weights are not numbers")
