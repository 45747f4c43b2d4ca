"""The report's figures: what each shows, which runs it needs, and how it is drawn."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from catran_causalbench.data.edge_table import read_edge_table
from catran_causalbench.plotting.network import draw_network
from catran_causalbench.plotting.style import FAINT, INK
from catran_causalbench.report.aggregation import RANDOM, ResultGroup, is_catran
from catran_causalbench.report.figure_style import Styles, label_ends, logarithmic, panels, short
from catran_causalbench.report.metrics import METRICS, Estimate
from catran_causalbench.sweep.records import GroundTruthScores

Drawing = Callable[[ResultGroup, Styles], Figure]
Condition = Callable[[ResultGroup], bool]
_KINDS: list[tuple[str, str, str, Condition, Drawing]] = []


class ReportFigure(NamedTuple):
    """A figure with the name of its files, its title, how to read it, and a text for those who cannot see it."""

    name: str
    title: str
    caption: str
    alternative: str
    figure: Figure


def report_figures(group: ResultGroup, styles: Styles) -> Iterator[ReportFigure]:
    """Draw every figure for which the group has the runs; styles are those of all methods."""
    styles = {method: styles[method] for method in group.summary}  # the best method first
    about = f"{group.title}. Methods, best first: {', '.join(group.summary)}. The table holds the numbers."
    for name, title, caption, suffices, draw in _KINDS:
        if suffices(group):
            yield ReportFigure(name, title, caption, f"{title}; {about}", draw(group, styles))
    if (group.directories[group.best_run] / "output_network.csv").exists():
        yield _network(group, group.best_run)


def _kind(name: str, title: str, caption: str, suffices: Condition = lambda group: True) -> Callable[[Drawing], None]:
    """Register a function that draws a figure, in the order of the report, and the runs that it needs."""
    return lambda draw: _KINDS.append((name, title, caption, suffices, draw))


def _calibrated(group: ResultGroup) -> list[tuple[str, GroundTruthScores]]:
    """List the runs whose weights are expected effects, with their methods."""
    return [(run.method, run.truth) for run in group.results if run.truth and run.truth.perturbed.weight]


def _has_fractions(group: ResultGroup) -> bool:
    return group.runs["fraction"].nunique() > 1


def _has_curves(group: ResultGroup) -> bool:
    curves = group.mean_curve(lambda result: result.wasserstein)
    return any(sum(not np.isnan(point.mean) for point in points.values()) > 1 for points in curves.values())


@_kind(
    "truth",
    "Effect recovery and precision",
    "Farther right is better: the true effect of the edges as a share of the oracle's, and the share of the edges that "
    "are direct edges of the true network.",
    lambda group: group.has_truth,
)
def _truth(group: ResultGroup, styles: Styles) -> Figure:
    return _dots(group, styles, "effect_recovery", "precision")[0]


@_kind(
    "precision-recall",
    "Precision against recall",
    "From left to right, more of the best edges are taken; higher and farther right is better. The marker is the whole "
    "network.",
    lambda group: group.has_truth and _has_curves(group),
)
def _precision_recall(group: ResultGroup, styles: Styles) -> Figure:
    figure, (axis,) = panels(1, 3.3, group.title, styles)
    precision = group.mean_curve(lambda result: result.truth.precision if result.truth else result.wasserstein)
    recall = group.mean_curve(lambda result: result.truth.recall if result.truth else result.wasserstein)
    for method, style in styles.items():
        shared = [edges for edges in precision.get(method, {}) if edges in recall[method]]
        points = {recall[method][edges].mean: precision[method][edges].mean for edges in shared}
        axis.plot(list(points), list(points.values()), **style, markevery=[-1] if points else None)
    axis.set_xlim(left=0)
    axis.set_ylim(0, 1.02)
    axis.set_xlabel("recall of direct edges")
    axis.set_ylabel("precision, direct edges")
    return figure


@_kind(
    "truth-by-fraction",
    "Effect recovery and precision with fewer perturbations",
    "The less a line falls to the left, the less the method depends on every gene being perturbed.",
    lambda group: group.has_truth and _has_fractions(group),
)
def _truth_by_fraction(group: ResultGroup, styles: Styles) -> Figure:
    figure, axes = panels(2, 2.8, group.title, styles)
    for axis, metric in zip(axes, ("effect_recovery", "precision"), strict=True):
        _draw_by_fraction(axis, group, styles, metric)
        axis.set_ylim(bottom=0)
    return figure


@_kind(
    "calibration",
    "Expected against true effects",
    "On the diagonal, edges act as strongly as their weights say; below it they are overrated. Each dot is an eighth "
    "of a run's edges. Both axes are logarithmic, on the scale of the data; effects below a tenth of the smallest "
    "weight stand at the lower edge.",
    lambda group: bool(_calibrated(group)),
)
def _calibration(group: ResultGroup, styles: Styles) -> Figure:
    found = _calibrated(group)
    legend = {method: styles[method] for method, _ in found}
    figure, axes = panels(2, 3.0, group.title, legend, lines=False, sharex=True, sharey=True)
    titles = {"perturbed": "sources perturbed in training", "unperturbed": "sources never perturbed"}
    least = min(weight for _, truth in found for kind in titles for weight in getattr(truth, kind).weight) / 10
    for axis, (kind, title) in zip(axes, titles.items(), strict=True):
        for method, truth in found:
            calibration = getattr(truth, kind)
            effect = np.maximum(calibration.effect, least)
            axis.plot(calibration.weight, effect, **{**styles[method], "linestyle": "", "markersize": 4})
        axis.axline((0.1, 0.1), (1, 1), color=FAINT, linewidth=1, zorder=1)
        axis.set_title(title, loc="left")
        axis.set_xlabel("expected effect (weight)")
    axes[0].set_ylabel("true effect")
    for axis in axes:
        logarithmic(axis, "x", least=10)
        logarithmic(axis, "y", least=10)
    return figure


@_kind(
    "challenge",
    "Challenge score and improvement",
    "Farther right is better. Dots are means over replicates, diamonds the challenge's own score: the area under the "
    "median. The score also rewards edges to noisy genes, so the oracle need not be first.",
    lambda group: bool(group.values["challenge_score"].notna().any()),
)
def _challenge(group: ResultGroup, styles: Styles) -> Figure:
    figure, axis, methods = _dots(group, styles, "challenge_score", "improvement")
    medians = group.score_of_medians
    for row, method in enumerate(methods):
        axis.plot(medians[method], row, "d", color="white", markeredgecolor=INK, markersize=4, zorder=9)
    return figure


@_kind(
    "wasserstein-by-fraction",
    "Mean Wasserstein distance with fewer perturbations",
    "A rising line is a method that profits from more perturbations. Bars are 95 % intervals, shifted sideways so that "
    "they do not overlap.",
    _has_fractions,
)
def _wasserstein_by_fraction(group: ResultGroup, styles: Styles) -> Figure:
    figure, (axis,) = panels(1, _height(styles), group.title)
    label_ends(figure, axis, _draw_by_fraction(axis, group, styles, "mean_wasserstein"), styles)
    return figure


@_kind(
    "wasserstein-by-edges",
    "Mean Wasserstein distance against the number of edges",
    "It falls with K for every method, so compare methods at equal K only. Both axes are logarithmic.",
    _has_curves,
)
def _wasserstein_by_edges(group: ResultGroup, styles: Styles) -> Figure:
    figure, (axis,) = panels(1, _height(styles), group.title)
    curves = group.mean_curve(lambda result: result.wasserstein)
    for method, points in curves.items():
        axis.plot(list(points), [point.mean for point in points.values()], **{**styles[method], "marker": ""})
    axis.margins(x=0)
    logarithmic(axis, "x")
    logarithmic(axis, "y")
    axis.autoscale(False)  # the lines decide what is shown, not the band of the interval
    for method in filter(is_catran, curves):
        means = np.array([point.mean for point in curves[method].values()])
        halves = np.nan_to_num([point.half_width for point in curves[method].values()])
        low, high = means - halves, means + halves
        axis.fill_between(list(curves[method]), low, high, color=styles[method]["color"], alpha=0.12, linewidth=0)
    axis.set_xlabel("K, edges taken, best first")
    axis.set_ylabel(METRICS["mean_wasserstein"].label)
    label_ends(figure, axis, {method: points[max(points)].mean for method, points in curves.items()}, styles)
    return figure


@_kind(
    "plane",
    "Mean Wasserstein distance against false omission rate",
    "Up and left is better: edges with strong effects, and few significant effects left out. Bars are 95 % intervals.",
    lambda group: bool((group.runs["mean_wasserstein"] + group.runs["false_omission_rate"]).notna().any()),
)
def _plane(group: ResultGroup, styles: Styles) -> Figure:
    figure, (axis,) = panels(1, 3.3, group.title, styles, lines=False)
    for method, row in group.summary.items():
        style, across, up = styles[method], row["false_omission_rate"], row["mean_wasserstein"]
        mark = {**style, "linestyle": "", "markersize": 9 if is_catran(method) else 7, "markeredgewidth": 1}
        bars: dict[str, Any] = {"elinewidth": 0.9, "ecolor": (style["color"], 0.45)}
        axis.errorbar(across.mean, up.mean, xerr=_bar(across), yerr=_bar(up), **bars, **mark)
    axis.set_xlabel(METRICS["false_omission_rate"].axis_label)
    axis.set_ylabel(METRICS["mean_wasserstein"].axis_label)
    axis.margins(0.08)
    axis.set_title("↖ better", loc="left", color="#777777")
    return figure


@_kind(
    "cost",
    "Run time and memory",
    "Farther left is better; both axes are logarithmic. Time of the inference alone, and the peak of its memory beyond "
    "what its process held before.",
)
def _cost(group: ResultGroup, styles: Styles) -> Figure:
    return _dots(group, styles, "seconds", "peak_megabytes")[0]


def _network(group: ResultGroup, run: int) -> ReportFigure:
    result = group.results[run]
    subject = f"{'SIMULATED data, ' * result.simulated}{result.method} on {result.data}, seed {result.seed}"
    # The file has no weights, so they follow the rank: from 1 for the best edge to nearly 0.
    edges = read_edge_table(group.directories[run] / "output_network.csv", "sweeps")[["source", "target"]]
    if group.simulated:  # gene ENSGSIM00000012 is named SIM12
        edges = edges.replace(r"^ENSGSIM0*(?=\d)", "SIM", regex=True)
    edges = edges.assign(weight=[1 - rank / len(edges) for rank in range(len(edges))])
    return ReportFigure(
        "network",
        "The inferred network",
        "An arrow leads from a regulator to its target; a thicker one ranks higher. Genes with many targets are hubs "
        "to look at first.",
        f"The inferred network as arrows between genes; {subject}. The run's output_network.csv lists all its edges.",
        draw_network(edges, legible_only=True, title=subject),
    )


def _height(styles: Styles) -> float:
    """Return the inches that leave room for the names of all methods next to the lines."""
    return max(3.4, 0.9 + 0.16 * len(styles))


def _bar(value: Estimate) -> float | None:
    return None if np.isnan(value.half_width) else value.half_width


def _draw_by_fraction(axis: Axes, group: ResultGroup, styles: Styles, metric: str) -> dict[str, float]:
    """Draw a metric and its intervals against the share of perturbations; return where each method's line ends."""
    lines = group.by_fraction(metric)
    for index, (method, points) in enumerate(lines.items()):
        # A small shift, so that intervals at the same fraction are side by side.
        shift = (index - (len(lines) - 1) / 2) * min(0.5, 4 / len(lines))
        known = {100 * fraction + shift: point for fraction, point in points.items() if not np.isnan(point.mean)}
        means = [point.mean for point in known.values()]
        halves = np.nan_to_num([point.half_width for point in known.values()])
        faint = (styles[method]["color"], 0.4)
        axis.errorbar(list(known), means, yerr=halves, ecolor=faint, elinewidth=1, **styles[method])
    axis.set_xticks([100 * fraction for fraction in sorted(group.runs["fraction"].unique())])
    axis.set_xlabel("perturbations trained on (%)")
    axis.set_ylabel(METRICS[metric].label)
    return {method: points[max(points)].mean for method, points in lines.items()}


def _dots(group: ResultGroup, styles: Styles, *metrics: str) -> tuple[Figure, Axes, list[str]]:
    """Draw one row per method and one panel per metric: mean, interval, and every replicate as a faint dot.

    Return the figure, its first panel, and the methods from the lowest row upwards, in the order of the first metric.
    """
    summary, values = group.summary, group.values
    first = METRICS[metrics[0]]
    methods = sorted(summary, key=lambda name: np.nan_to_num(first.sign * summary[name][first.name].mean, nan=-np.inf))
    figure, axes = panels(len(metrics), 1.0 + 0.23 * len(methods), group.title, sharey=True)
    for axis, metric in zip(axes, metrics, strict=True):
        for row, method in enumerate(methods):
            colour, value = styles[method]["color"], summary[method][metric]
            every = values.loc[method][metric]
            axis.plot(every, [row] * len(every), "o", color=colour, markersize=3, alpha=0.3, markeredgewidth=0)
            axis.errorbar(value.mean, row, xerr=_bar(value), fmt="o", color=colour, markersize=6, elinewidth=1.6)
        axis.set_xlabel(METRICS[metric].heading)
        axis.grid(axis="y", visible=False)
        axis.tick_params(axis="y", length=0)
        if first.name == "seconds":
            logarithmic(axis, "x", least=10)
            continue
        axis.locator_params(axis="x", nbins=4)
        if RANDOM in summary and summary[RANDOM][metric].count:
            axis.axvline(summary[RANDOM][metric].mean, color=FAINT, linewidth=1, linestyle=":", zorder=1)
    axes[0].set_yticks(range(len(methods)), [short(method) for method in methods])
    axes[0].set_ylim(-0.6, len(methods) - 0.4)
    for label, method in zip(axes[0].get_yticklabels(), methods, strict=True):
        if is_catran(method):
            label.set(color=styles[method]["color"], fontweight="bold")
    return figure, axes[0], methods
