"""What a report measures: names, meanings and how the numbers are written."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Estimate:
    """A mean over replicates and its 95 % t-interval.

    Attributes
    ----------
    mean
        NaN without a replicate.
    half_width
        The interval is mean ± half_width; NaN with fewer than two replicates.
    count
        Replicates that have a value.
    """

    mean: float
    half_width: float
    count: int


@dataclass(frozen=True)
class Metric:
    """One column of the tables.

    Attributes
    ----------
    name
        Column of the table of runs.
    label
        For people to read, without unit.
    better
        ``higher`` or ``lower``; empty where neither is.
    meaning
        One sentence.
    decimals
        Decimals of its numbers; None for as many as the size asks for (times, memory).
    """

    name: str
    label: str
    better: str
    meaning: str
    decimals: int | None = 3

    @property
    def heading(self) -> str:
        """The label with an arrow towards the better side."""
        return self.label + {"higher": "\u00a0↑", "lower": "\u00a0↓", "": ""}[self.better]

    def number(self, value: float) -> str:
        """Write a number; an en dash for NaN."""
        return self._written(value, value)

    def text(self, estimate: Estimate) -> str:
        """Write an estimate with its interval, where it has one, both to the same decimals."""
        if math.isnan(estimate.half_width):
            return self.number(estimate.mean)
        return f"{self.number(estimate.mean)} ± {self._written(estimate.half_width, estimate.mean)}"

    def _written(self, value: float, scale: float) -> str:
        if math.isnan(value):
            return "–"
        decimals = self.decimals
        if decimals is None:
            decimals = 0 if abs(scale) >= 100 else 1 if abs(scale) >= 1 else 2
        if self.decimals is None and 0 < value < 0.01 and decimals == 2:
            return "<0.01"
        return f"{value:,.{decimals}f}".replace("-", "−")


METRICS = {
    metric.name: metric
    for metric in (
        Metric("captured", "captured effect", "higher", "True effect of the edges as a share of the oracle's."),
        Metric("precision", "precision", "higher", "Share of the edges that are direct edges of the true network."),
        Metric(
            "mean_wasserstein",
            "mean Wasserstein",
            "higher",
            "How far the target's expression moves in held-out cells when the source is knocked down. It carries a "
            "noise floor and falls with the number of edges: compare at equal numbers only.",
        ),
        Metric(
            "excess_wasserstein",
            "Wasserstein beyond null",
            "higher",
            "The same beyond what permuted labels give, 0 for edges without effect.",
        ),
        Metric(
            "false_omission_rate",
            "false omission rate",
            "lower",
            "Share of pairs left out of the network that react significantly all the same.",
        ),
        Metric(
            "challenge_score",
            "challenge score",
            "higher",
            "Trapezoid area of mean Wasserstein over the share of perturbations trained on.",
        ),
        Metric(
            "improvement", "improvement", "higher", "Mean Wasserstein at 100 % of the perturbations minus that at 25 %."
        ),
        Metric("seconds", "seconds", "lower", "Time of the inference alone.", decimals=None),
        Metric(
            "peak_megabytes",
            "memory taken (MB)",
            "lower",
            "Most memory taken beyond what was held before.",
            decimals=None,
        ),
        Metric("recall", "recall", "higher", "Share of the true network's direct edges that were found."),
        Metric("average_precision", "AUPRC", "higher", "Area under the precision–recall curve, direct edges."),
        Metric(
            "orientation",
            "orientation",
            "higher",
            "Share that points the right way, among edges true in one direction; guessing gives 0.5.",
        ),
        Metric(
            "ancestor_precision", "ancestor precision", "higher", "Share of the edges whose source acts on the target."
        ),
        Metric(
            "ancestor_average_precision",
            "ancestor AUPRC",
            "higher",
            "Area under the precision–recall curve, ancestors.",
        ),
        Metric("num_edges", "edges", "", "Edges that were returned.", decimals=0),
    )
}
