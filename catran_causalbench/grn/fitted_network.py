"""The result of every method: a weight for each pair of genes, and the measured effects, but no cells."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from catran_causalbench.config import MOST_EDGES, RANKINGS, CatranConfig
from catran_causalbench.errors import InputError, warn
from catran_causalbench.grn.edges import complete_edges, rank_edges
from catran_causalbench.grn.exports import NetworkExports
from catran_causalbench.grn.network_file import read_network, write_network
from catran_causalbench.grn.pictures import NetworkPictures
from catran_causalbench.utils.described import Described
from catran_causalbench.utils.validation import checked, choice, number

if TYPE_CHECKING:
    import pandas as pd

_AT_LEAST_ONE = number(low=1).metadata
_RANKING = choice(*RANKINGS).metadata
_SHARE_OF_PAIRS = 0.1
SIGNIFICANT = 0.05  # largest q-value of a significant effect


@dataclass(frozen=True, repr=False, eq=False)
class FittedNetwork(NetworkExports, NetworkPictures, Described):
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
    p_values
        float32, G × G: of these effects, see :func:`~catran_causalbench.data.effects.measure_effects`.
    perturbation
        ``knockdown``, ``knockout`` or ``activation``.
    history
        Losses of the training: columns ``step`` and ``loss/…``; no rows where nothing was trained.
    method, config, seed
        Of the run.
    cells
        Number of perturbed and of control cells, and of excluded cells by the reason.
    origin
        Description of the data, if known.
    direct_weights
        float32, G × G, source × target: scores of the ranking by direct effect; None where the settings of the run did
        not ask for it.
    """

    gene_names: tuple[str, ...]
    weights: np.ndarray
    effects: np.ndarray
    p_values: np.ndarray
    perturbation: str
    history: pd.DataFrame
    method: str
    config: CatranConfig
    seed: int
    cells: dict[str, int] = field(default_factory=dict)
    origin: str = ""
    direct_weights: np.ndarray | None = None

    @property
    def perturbed(self) -> np.ndarray:
        """G, true where the data held cells in which the gene was perturbed."""
        return ~np.isnan(self.effects).all(axis=1)

    @cached_property
    def _tests(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the p-values of all tested pairs, ascending, and the q-values after Benjamini and Hochberg.

        The effect of a perturbation on its own gene is not among the tests.
        """
        p_values = self.p_values[~np.eye(len(self.gene_names), dtype=bool)]
        p_values = np.sort(p_values[~np.isnan(p_values)])
        q_values = p_values * np.float32(len(p_values)) / np.arange(1, len(p_values) + 1, dtype=np.float32)
        q_values = np.minimum.accumulate(q_values[::-1])[::-1].clip(max=1)
        return p_values, q_values

    def _q_values(self, p_values: np.ndarray) -> np.ndarray:
        """Return the q-values of some tests, of which NaN stands for one that was not made.

        Among the pairs with a q-value of at most 0.05, about 5 % are expected to have no effect.
        """
        q_values, tested = p_values.copy(), ~np.isnan(p_values)
        ascending, adjusted = self._tests
        q_values[tested] = adjusted[np.searchsorted(ascending, p_values[tested])]
        return q_values

    @property
    def num_significant(self) -> int:
        """Number of pairs whose effect has a q-value of at most 0.05."""
        return int((self._tests[1] <= SIGNIFICANT).sum())

    @property
    def num_pairs(self) -> int:
        """Number of ordered pairs of different genes."""
        return len(self.gene_names) * (len(self.gene_names) - 1)

    def edges(
        self, num_edges: int | None = None, *, rank_by: str | None = None, complete: bool = False
    ) -> pd.DataFrame:
        """Return the strongest edges, best first.

        Parameters
        ----------
        num_edges
            Number of edges; where the method knows fewer, all of them are returned. By default ``config.output.edges``
            or, where that is not set, a tenth of all pairs, at most 1,000. A cautious choice is the number of pairs
            with a significant effect, :attr:`num_significant`.
        rank_by
            ``total`` or ``direct`` effect, by default as ``config.output.rank_by`` says. The weights are those of the
            ranking; the measured effects are total effects in either.
        complete
            Add random edges, last and with weight ``-inf``, where the method knows too few: benchmarks compare equal
            numbers of edges. If there are not enough pairs of genes, warn and return all.

        Returns
        -------
        DataFrame
            rank, source, target, weight, regulation, effect, p_value, q_value, source_perturbed. ``effect`` is the
            measured effect of the source's perturbation on the target. ``regulation`` is 1 where it shows that the
            source activates the target, −1 where it represses it (as in CollecTRI and TRRUST), and 0 where the source
            was not perturbed. ``p_value`` is that of a permutation test of the effect, see
            :func:`~catran_causalbench.data.effects.measure_effects`, and ``q_value`` is adjusted for all pairs by
            Benjamini and Hochberg; an effect that is not significant may have the wrong sign. All three are NaN where
            the source was not perturbed.

        Raises
        ------
        InputError
            ``num_edges`` is not a whole number above zero, or the network does not have the ranking.
        """
        if num_edges is not None:
            wanted = checked("num_edges", num_edges, int, _AT_LEAST_ONE)
        elif complete or self.config.output.edges is not None:
            wanted = self.config.output.benchmark_edges
        else:
            wanted = min(MOST_EDGES, max(1, int(_SHARE_OF_PAIRS * self.num_pairs)))
        ranked = rank_edges(self.ranked_weights(rank_by), wanted)
        if complete:
            pairs = self.num_pairs
            if pairs < wanted:
                found = f"{wanted} edges were asked for, but there are only {pairs} pairs of genes: returning them all"
                warn(found)
            ranked = complete_edges(ranked, len(self.gene_names), wanted, self.seed)
        pair = ranked.source, ranked.target
        effect = self.effects[pair]
        direction = 1 if self.perturbation == "activation" else -1
        return ranked.table(self.gene_names).assign(
            regulation=direction * np.sign(np.nan_to_num(effect)).astype(np.int8),
            effect=effect,
            p_value=self.p_values[pair],
            q_value=self._q_values(self.p_values[pair]),
            source_perturbed=self.perturbed[ranked.source],
        )

    def targets(self, gene: str, num_edges: int | None = None, *, rank_by: str | None = None) -> pd.DataFrame:
        """Return those of the strongest edges that lead from a gene, best first, with the columns of :meth:`edges`.

        Raises
        ------
        InputError
            The gene is not in the network.
        """
        return self._edges_of("source", gene, num_edges, rank_by)

    def regulators(self, gene: str, num_edges: int | None = None, *, rank_by: str | None = None) -> pd.DataFrame:
        """Return those of the strongest edges that lead to a gene; see :meth:`targets`."""
        return self._edges_of("target", gene, num_edges, rank_by)

    def _edges_of(self, end: str, gene: str, num_edges: int | None, rank_by: str | None) -> pd.DataFrame:
        if gene not in self.gene_names:
            raise InputError.of("gene", repr(gene), f"one of the network's genes, such as {self.gene_names[0]!r}")
        edges = self.edges(num_edges, rank_by=rank_by)
        return edges[edges[end] == gene].reset_index(drop=True)

    def adjacency(self, *, rank_by: str = "total") -> pd.DataFrame:
        """Return the weights of all pairs, source × target, by ``total`` or ``direct`` effect (see :meth:`edges`)."""
        import pandas as pd

        genes = pd.Index(self.gene_names)
        return pd.DataFrame(self.ranked_weights(rank_by), index=genes.rename("source"), columns=genes.rename("target"))

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the network into an .npz without pickled objects, which :func:`load` reads.

        Raises
        ------
        InputError
            The name does not end in .npz, or the file cannot be written.
        """
        description = {
            "method": self.method,
            "perturbation": self.perturbation,
            "config": self.config.to_mapping(),
            "seed": self.seed,
            "origin": self.origin,
            "cells": self.cells,
            "history": list(self.history.columns),
        }
        arrays = {
            "gene_names": np.array(self.gene_names),
            "weights": self.weights,
            "effects": self.effects,
            "p_values": self.p_values,
            "history": self.history.to_numpy(float),
        }
        if self.direct_weights is not None:
            arrays["direct_weights"] = self.direct_weights
        return write_network(path, description, arrays)

    def _repr_html_(self) -> str:
        table = self.edges(8).to_html(index=False, border=0, float_format="{:.3g}".format, na_rep="–")
        more = "more: <code>.edges(k)</code>, <code>.targets(gene)</code>, <code>.plot_network(k)</code>"
        return f"<div>{super()._repr_html_()}{table}{more}</div>"

    def ranked_weights(self, rank_by: str | None = None) -> np.ndarray:
        """Return the weights of a ranking, by default that of the settings; G × G, source × target."""
        chosen = checked("rank_by", rank_by or self.config.output.rank_by, str, _RANKING)
        if chosen == "total":
            return self.weights
        if self.direct_weights is None:
            expected = "total, or a network that was fitted with output.rank_by: direct (--rank-by direct)"
            raise InputError.of("rank_by", "direct, a ranking that this network does not have", expected)
        return self.direct_weights

    def describe(self) -> str:
        """Return method, numbers of genes, cells and significant effects, the best edge, and the origin of the data."""
        best = self.edges(1)
        counted = {"perturbed": 0, "control": 0, **self.cells}
        excluded = sum(number for kind, number in counted.items() if kind not in ("control", "perturbed"))
        return (
            f"{self.method}, {len(self.gene_names):,} genes, {self.perturbed.sum():,} of them perturbed; "
            f"cells: {counted['perturbed']:,} perturbed, {counted['control']:,} control, {excluded:,} excluded; "
            f"effects with q ≤ {SIGNIFICANT}: {self.num_significant:,} of {self.num_pairs:,} pairs"
            f"{f'; best edge {best.source[0]} → {best.target[0]}' if len(best) else ''}"
            f"{'; ' * bool(self.origin)}{self.origin}"
        )


def load(path: str | os.PathLike[str]) -> FittedNetwork:
    """Read a network that :meth:`FittedNetwork.save` wrote.

    Raises
    ------
    InputError
        The file is missing, damaged, or holds anything else.
    """
    import pandas as pd

    with read_network(path) as (description, arrays):
        return FittedNetwork(
            gene_names=tuple(arrays["gene_names"].tolist()),
            weights=arrays["weights"],
            effects=arrays["effects"],
            p_values=arrays["p_values"],
            perturbation=str(description["perturbation"]),
            history=pd.DataFrame(arrays["history"], columns=description["history"]),
            method=str(description["method"]),
            config=CatranConfig.from_mapping(description["config"], Path(path).name),
            seed=int(description["seed"]),
            cells={str(kind): int(number) for kind, number in description["cells"].items()},
            origin=str(description["origin"]),
            direct_weights=arrays.get("direct_weights"),
        )
