"""Mann–Whitney test and Wasserstein distance between held-out controls and perturbed cells, for all edges at once.

The results are those of ``scipy.stats.mannwhitneyu`` and ``scipy.stats.wasserstein_distance`` (scipy 1.16), which
CausalBench 1.1.2 calls for every edge. For both it is enough to know how many controls lie below each interventional
value. So the controls of each gene are sorted once, and an edge with m perturbed cells costs m binary searches instead
of sorting n + m values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from catran_causalbench.data.dataset import CONTROL, CONTROL_LABEL, EXCLUDED
from catran_causalbench.errors import InputError

P_VALUE_THRESHOLD = 0.05  # CausalBench's, without correction for the number of tests

_VALUES_PER_BLOCK = 2**18  # interventional values compared at a time; bounds the memory
_EXACT_UP_TO = 8  # scipy's test is exact when a sample is no larger than this and no two values are equal


@dataclass(frozen=True)
class Comparison:
    """Comparison of controls with perturbed cells, for E edges.

    Attributes
    ----------
    wasserstein
        float64, length E: Wasserstein distance of the target's expression, on the scale of the data.
    p_value
        float64, length E: of the two-sided Mann–Whitney test.
    """

    wasserstein: np.ndarray
    p_value: np.ndarray

    @property
    def significant(self) -> np.ndarray:
        """Whether p < 0.05, which CausalBench counts as a true positive: bool, length E."""
        return self.p_value < P_VALUE_THRESHOLD


class HeldOutEvaluator:
    """Held-out cells, prepared for comparing the target of any edge in controls and where its source is perturbed.

    Each edge is compared once: several metrics need it, and so may later networks.

    Parameters
    ----------
    expression_matrix
        cells × genes, finite real numbers.
    interventions
        One label per cell: ``non-targeting`` for controls, or the perturbed gene. Cells with any other label
        (``excluded``, genes without a column) are ignored.
    gene_names
        Distinct names of the columns.

    Attributes
    ----------
    gene_names
        As given.
    num_cells
        int64, one per gene: number of held-out cells in which it is perturbed.

    Raises
    ------
    InputError
        Naming the argument, what was found and what was expected.
    """

    def __init__(self, expression_matrix: Any, interventions: Sequence[str], gene_names: Sequence[str]) -> None:
        self._expression = np.asarray(expression_matrix)
        self.gene_names = tuple(str(name) for name in gene_names)
        _check_input(self._expression, len(interventions), self.gene_names)
        if self._expression.dtype.kind != "f":  # float32 is kept, which halves the memory
            self._expression = self._expression.astype(np.float64)
        codes = {name: column for column, name in enumerate(self.gene_names)} | {CONTROL_LABEL: CONTROL}
        intervention = np.array([codes.get(label, EXCLUDED) for label in interventions])
        control_cells = np.flatnonzero(intervention == CONTROL)
        if len(control_cells) == 0:
            raise InputError.of("interventions", "no control cells", f"some labelled {CONTROL_LABEL!r}")
        by_source = np.argsort(intervention, kind="stable")
        self._perturbed_cells = by_source[intervention[by_source] >= 0]
        self.num_cells = np.bincount(intervention[self._perturbed_cells], minlength=len(self.gene_names))
        self._first_cell = np.cumsum(self.num_cells) - self.num_cells
        self._controls = np.sort(self._expression[control_cells].T, axis=1)
        self._control_sums = np.zeros((self._controls.shape[0], self._controls.shape[1] + 1))
        np.cumsum(self._controls, axis=1, dtype=np.float64, out=self._control_sums[:, 1:])
        self._control_ties = np.array([_tie_term(values) for values in self._controls])
        # source × target: the comparisons that were made, and NaN.
        self._wasserstein, self._p_value = np.full((2, len(self.gene_names), len(self.gene_names)), np.nan)

    def control_values(self, target: int) -> np.ndarray:
        """Return the target's expression in the n controls: float64, ascending."""
        return self._controls[target].astype(np.float64)

    def interventional_values(self, source: int, target: int) -> np.ndarray:
        """Return the target's expression in the m cells in which the source is perturbed: float64, unsorted."""
        first = self._first_cell[source]
        cells = self._perturbed_cells[first : first + self.num_cells[source]]
        return self._expression[cells, target].astype(np.float64)

    def compare(self, source: np.ndarray, target: np.ndarray) -> Comparison:
        """Compare the cells of E edges, given by the columns of their genes.

        Raises
        ------
        InputError
            A column does not exist, or a source has no held-out cells.
        """
        source, target = self.check_edges(source, target)
        new, genes = np.isnan(self._p_value[source, target]), len(self.gene_names)
        # Distinct edges, by target: those of one target are searched for together in its controls.
        new_target, new_source = np.divmod(np.unique(target[new] * genes + source[new]), genes)
        edges_per_block = max(1, _VALUES_PER_BLOCK // self.num_cells.max(initial=1))
        for start in range(0, len(new_source), edges_per_block):
            block = slice(start, start + edges_per_block)
            edges = new_source[block], new_target[block]
            self._wasserstein[edges], self._p_value[edges] = self._compare_block(*edges)
        return Comparison(self._wasserstein[source, target], self._p_value[source, target])

    def check_edges(self, source: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the columns as int64, or raise InputError where the edges cannot be compared."""
        source, target = np.asarray(source, np.int64), np.asarray(target, np.int64)
        if source.ndim != 1 or source.shape != target.shape:
            raise InputError.of("edges", f"shapes {source.shape} and {target.shape}", "two of one length")
        genes = len(self.gene_names)
        for name, columns in (("source", source), ("target", target)):
            wrong = columns[(columns < 0) | (columns >= genes)]
            if len(wrong):
                raise InputError.of(name, f"column {wrong[0]}", f"0 to {genes - 1}")
        untested = source[self.num_cells[source] == 0]
        if len(untested):
            found = f"{self.gene_names[untested[0]]!r}, which is perturbed in no held-out cell"
            raise InputError.of("source", found, "sources with held-out cells")
        return source, target

    def _compare_block(self, source: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return distances and p-values of edges that are sorted by target.

        The interventional values of all edges lie in one array, sorted within each edge.
        """
        sizes = self.num_cells[source]
        first = np.cumsum(sizes) - sizes
        column = np.arange(sizes.max())
        filled = column < sizes[:, None]  # edges × most cells of any
        cells = self._perturbed_cells[(self._first_cell[source, None] + column)[filled]]
        edge, within = np.nonzero(filled)
        # Sorting padded rows is far faster than sorting by edge and value.
        rows = np.full(filled.shape, np.inf, self._expression.dtype)
        rows[filled] = self._expression[cells, target[edge]]
        values = np.sort(rows, axis=1)[filled]
        below, up_to = self._count_controls(values, target, first)

        starts_run = (within == 0) | np.concatenate([[True], values[1:] != values[:-1]])
        position = np.arange(len(values))
        earlier_copies = position - np.maximum.accumulate(np.where(starts_run, position, 0))
        u = np.add.reduceat(below + up_to, first) / 2  # of each edge
        # One more copy of a value that occurs t times raises t³ − t by 3t(t + 1).
        copies = up_to - below + earlier_copies
        ties = self._control_ties[target] + np.add.reduceat(3 * copies * (copies + 1), first)  # of each edge
        p_value = self._p_values(source, target, u, ties)

        # The distance is the area between the two quantile functions. That of the perturbed cells equals value j of m
        # (from 0) between j/m and (j + 1)/m; that of the controls is lower up to the share of controls below this
        # value, and higher after.
        controls, m = self._controls.shape[1], sizes[edge]
        low, high = within * controls, (within + 1) * controls  # in units of 1/m controls: whole numbers
        middle = np.clip(below * m, low, high)
        gene = target[edge]
        area = self._quantile_sum(gene, low, m) + self._quantile_sum(gene, high, m)
        area += values * ((2 * middle - low - high) / m) - 2 * self._quantile_sum(gene, middle, m)
        return np.add.reduceat(area, first) / controls, p_value

    def _count_controls(
        self, values: np.ndarray, target: np.ndarray, first: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return for each value how many controls of its edge's target are below it, and how many are not above."""
        below, up_to = np.empty(len(values), np.int64), np.empty(len(values), np.int64)
        new_target = np.flatnonzero(np.diff(target, prepend=-1))
        bounds = [*first[new_target].tolist(), len(values)]
        for gene, start, end in zip(target[new_target].tolist(), bounds[:-1], bounds[1:], strict=True):
            below[start:end] = self._controls[gene].searchsorted(values[start:end], "left")
            up_to[start:end] = self._controls[gene].searchsorted(values[start:end], "right")
        return below, up_to

    def _quantile_sum(self, gene: np.ndarray, count: np.ndarray, parts: np.ndarray) -> np.ndarray:
        """Return the sum of the smallest count/parts controls of each gene, counting the last one in part.

        This is n times the integral of the controls' quantile function.
        """
        whole, part = np.divmod(count, parts)
        last = np.minimum(whole, self._controls.shape[1] - 1)
        return self._control_sums[gene, whole] + self._controls[gene, last] * (part / parts)

    def _p_values(self, source: np.ndarray, target: np.ndarray, u: np.ndarray, ties: np.ndarray) -> np.ndarray:
        """Return two-sided p-values: the normal approximation corrected for ties and continuity; exact if few cells."""
        from scipy import special

        n1, n2 = self._controls.shape[1], self.num_cells[source]
        u = np.maximum(u, n1 * n2 - u)
        n = n1 + n2
        deviation = np.sqrt(n1 * n2 / 12 * ((n + 1) - ties / (n * (n - 1))))
        with np.errstate(divide="ignore"):  # where all values are equal, the deviation is 0, z = −∞ and p = 1
            z = (u - n1 * n2 / 2 - 0.5) / deviation
        p_value = np.minimum(2 * special.ndtr(-z), 1)
        for edge in np.flatnonzero((ties == 0) & (np.minimum(n1, n2) <= _EXACT_UP_TO)):
            values = self.interventional_values(source[edge], target[edge])
            p_value[edge] = _exact_p_value(self.control_values(target[edge]), values)
        return p_value


def _exact_p_value(controls: np.ndarray, values: np.ndarray) -> float:
    from scipy import stats  # slow to import and rarely needed, since counts with their zeros have ties

    return float(stats.mannwhitneyu(controls, values).pvalue)


def _tie_term(values: np.ndarray) -> int:
    """Return the sum of t³ − t over the distinct of the sorted values, each of which occurs t times."""
    starts = np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1], [True]]))
    copies = np.diff(starts)
    return int((copies**3 - copies).sum())


def _check_input(expression: np.ndarray, labels: int, names: tuple[str, ...]) -> None:
    if expression.ndim != 2 or expression.dtype.kind not in "fiub":
        found = f"shape {expression.shape} of type {expression.dtype}"
        raise InputError.of("expression_matrix", found, "cells × genes, real numbers")
    if not np.isfinite(expression).all():
        raise InputError.of("expression_matrix", "NaN or infinity", "finite numbers")
    cells, genes = expression.shape
    if labels != cells:
        raise InputError.of("interventions", f"{labels} labels", f"{cells}, one per cell")
    if len(names) != genes or len(set(names)) != len(names):
        found = f"{len(names)} names, {len(set(names))} distinct"
        raise InputError.of("gene_names", found, f"{genes} distinct ones, one per column")
