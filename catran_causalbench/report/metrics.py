"""The one registry of metrics: names, labels, units, directions, and how numbers are written."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import isnan, nan

from catran_causalbench.sweep.records import Curve, NetworkScores


@dataclass(frozen=True)
class Estimate:
    """The mean of ``count`` replicates and its 95 % t-interval, mean ± half_width; NaN if there are too few."""

    mean: float = nan
    half_width: float = nan
    count: int = 0


@dataclass(frozen=True)
class Metric:
    """One metric of a network.

    Attributes
    ----------
    name, label
        Key in JSON, results.csv and tables of runs; display name.
    sign
        1 if higher is better, −1 if lower is better, otherwise 0.
    decimals
        How many its numbers have; None if that depends on their size (times, memory).
    """

    name: str
    label: str
    sign: int
    meaning: str
    unit: str = ""
    decimals: int | None = 3

    @property
    def heading(self) -> str:
        """Label and unit, with an arrow in the better direction."""
        return self.label + f" ({self.unit})" * bool(self.unit) + ("", "\u00a0↑", "\u00a0↓")[self.sign]

    @property
    def axis_label(self) -> str:
        """Label with the better direction in words."""
        return self.label + ("", " (more is better)", " (less is better)")[self.sign]

    def best(self, values: Iterable[float]) -> float:
        """Return the best of some values; NaN if there is none."""
        known = [self.sign * value for value in values if not isnan(value)]
        return self.sign * max(known) if known and self.sign else nan

    def number(self, value: float) -> str:
        """Format a number; an en dash for NaN."""
        return self._format(value, value)

    def text(self, estimate: Estimate) -> str:
        """Format an estimate with its interval, if it has one, to the same decimals."""
        if isnan(estimate.half_width):
            return self.number(estimate.mean)
        return f"{self.number(estimate.mean)} ± {self._format(estimate.half_width, estimate.mean)}"

    def _format(self, value: float, scale: float) -> str:
        if isnan(value):
            return "–"
        decimals = self.decimals
        if decimals is None:
            decimals = 0 if abs(scale) >= 100 else 1 if abs(scale) >= 1 else 2
            if decimals == 2 and 0 < value < 0.01:
                return "<0.01"
        return f"{value:,.{decimals}f}".replace("-", "−")


_REGISTERED = (
    Metric("effect_recovery", "effect recovery", 1, "True effect of the edges as a share of the oracle's."),
    Metric("precision", "precision", 1, "Share of the edges that are direct edges of the true network."),
    Metric("direct_average_precision", "direct AUPRC", 1, "AUPRC of all pairs' weights against direct edges."),
    Metric(
        "mean_wasserstein",
        "mean Wasserstein",
        1,
        "Mean distance between the target's expression in held-out cells whose source is perturbed and in controls. "
        "It has a noise floor and falls with the number of edges: compare at equal numbers only.",
    ),
    Metric("excess_wasserstein", "Wasserstein beyond null", 1, "Mean Wasserstein minus that of permuted labels."),
    Metric("false_omission_rate", "false omission rate", -1, "Share of omitted pairs with a significant effect."),
    Metric("exact_false_omission_rate", "exact false omission rate", -1, "The same over all omitted pairs."),
    Metric("challenge_score", "challenge score", 1, "Area under mean Wasserstein over the perturbed share."),
    Metric("improvement", "improvement", 1, "Mean Wasserstein with 100 % of the perturbations minus with 25 %."),
    Metric("seconds", "run time", -1, "Time of the inference alone.", "s", None),
    Metric("peak_megabytes", "memory taken", -1, "Peak memory beyond what was in use before.", "MB", None),
    Metric("recall", "recall", 1, "Share of the true network's direct edges that were found."),
    Metric("average_precision", "AUPRC", 1, "Area under the precision–recall curve, direct edges."),
    Metric("orientation", "orientation", 1, "Share that points the right way, of edges true in one direction."),
    Metric("ancestor_precision", "ancestor precision", 1, "Share of the edges whose source acts on the target."),
    Metric("ancestor_average_precision", "ancestor AUPRC", 1, "The same as AUPRC, but for ancestors."),
    Metric("unperturbed_average_precision", "AUPRC, unperturbed", 1, "AUPRC of sources not perturbed in training."),
    Metric("stability", "stability", 1, "Share of the edges that two halves of the training cells agree on."),
    Metric("num_edges", "edges", 0, "Edges that were returned.", decimals=0),
)
METRICS = {metric.name: metric for metric in _REGISTERED}


def find_metric(name: str) -> Metric:
    """Return a registered metric, or one against a reference network, such as ``corum_precision``."""
    label = name.replace("_", " ").replace("sigificant", "significant")  # CausalBench's spelling
    return METRICS.get(name) or Metric(name, label, 1, "", decimals=0 if name.endswith("true_positives") else 3)


def metric_values(scores: NetworkScores) -> dict[str, float]:
    """Return the metrics of a whole network by name; those against reference networks come last."""
    known = {**vars(scores), **(vars(scores.truth) if scores.truth else {})}
    values = {name: known[name] for name in METRICS if name in known}
    for name, value in values.items():
        if isinstance(value, Curve):  # its last value is that of all edges
            values[name] = value.value[-1] if value.value else nan
    for reference, agreement in scores.references.items():
        values |= {f"{reference}_{name}": value for name, value in agreement.items()}
    return values
