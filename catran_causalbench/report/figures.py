"""The report's figures: one function each, which returns a matplotlib figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from catran_causalbench.plotting.style import FAINT, INK
from catran_causalbench.report.aggregation import (
    RANDOM,
    ResultGroup,
    by_fraction,
    is_catran,
    mean_curve,
    replicate_values,
    score_of_medians,
    summarise,
)
from catran_causalbench.report.figure_style import (
    MethodStyle,
    draw_line,
    label_ends,
    legend_below,
    legend_height,
    logarithmic,
    panels,
    short,
)
from catran_causalbench.report.metrics import METRICS, Estimate

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Looks = Mapping[str, MethodStyle]


def challenge(group: ResultGroup, method_styles: Looks) -> Figure:
    """Challenge score and improvement of every method; a diamond is the score exactly as the challenge has it."""
    figure, first, methods = _dots(group, method_styles, ("challenge_score", "improvement"), "challenge_score")
    medians = score_of_medians(group)
    for row, method in enumerate(methods):
        first.plot(medians[method], row, "d", color="white", markeredgecolor=INK, markersize=4, zorder=9)
    return figure


def truth(group: ResultGroup, method_styles: Looks) -> Figure:
    """Show captured effect and precision of every method."""
    return _dots(group, method_styles, ("captured", "precision"), "captured")[0]


def cost(group: ResultGroup, method_styles: Looks) -> Figure:
    """Run time and memory of every method."""
    return _dots(group, method_styles, ("seconds", "peak_megabytes"), "seconds")[0]


def wasserstein_by_fraction(group: ResultGroup, method_styles: Looks) -> Figure:
    """Mean Wasserstein distance against the share of perturbations trained on."""
    figure, (axis,) = panels(1, _height(group), group.title)
    _over_fractions(axis, group, method_styles, "mean_wasserstein")
    ends = {name: points[max(points)].mean for name, points in by_fraction(group, "mean_wasserstein").items()}
    label_ends(figure, axis, ends, method_styles)
    return figure


def truth_by_fraction(group: ResultGroup, method_styles: Looks) -> Figure:
    """Show captured effect and precision against the share of perturbations trained on."""
    methods = list(summarise(group))
    figure, axes = panels(2, 2.8 + legend_height(methods), group.title)
    for axis, metric in zip(axes, ("captured", "precision"), strict=True):
        _over_fractions(axis, group, method_styles, metric)
        axis.set_ylim(bottom=0)
    legend_below(figure, methods, method_styles)
    return figure


def wasserstein_by_edges(group: ResultGroup, method_styles: Looks) -> Figure:
    """Mean Wasserstein distance of the K best edges against K."""
    figure, (axis,) = panels(1, _height(group), group.title)
    curves = mean_curve(group, lambda record: record.wasserstein)
    for method, points in curves.items():
        look = method_styles[method]
        axis.plot(
            list(points),
            [point.mean for point in points.values()],
            color=look.colour,
            linestyle=look.dashes,
            linewidth=look.width,
            zorder=look.order,
        )
    axis.margins(x=0)
    logarithmic(axis, "x")
    logarithmic(axis, "y")
    axis.autoscale(False)  # the lines decide what is shown, not the band
    for method in filter(is_catran, curves):
        means = np.array([point.mean for point in curves[method].values()])
        halves = np.nan_to_num([point.half_width for point in curves[method].values()])
        axis.fill_between(
            list(curves[method]),
            means - halves,
            means + halves,
            color=method_styles[method].colour,
            alpha=0.12,
            linewidth=0,
        )
    axis.set_xlabel("K, edges taken, best first")
    axis.set_ylabel(METRICS["mean_wasserstein"].label)
    label_ends(
        figure, axis, {method: points[max(points)].mean for method, points in curves.items() if points}, method_styles
    )
    return figure


def plane(group: ResultGroup, method_styles: Looks) -> Figure:
    """Mean Wasserstein distance against false omission rate, with the intervals of both."""
    summary = summarise(group)
    figure, (axis,) = panels(1, 3.3 + legend_height(list(summary)), group.title)
    for method, row in summary.items():
        look, across, up = method_styles[method], row["false_omission_rate"], row["mean_wasserstein"]
        axis.errorbar(
            across.mean,
            up.mean,
            xerr=_bar(across),
            yerr=_bar(up),
            fmt=look.marker,
            color=look.colour,
            markersize=9 if is_catran(method) else 7,
            markeredgecolor="white",
            elinewidth=0.9,
            ecolor=(look.colour, 0.45),
            zorder=look.order,
        )
    axis.set_xlabel(f"{METRICS['false_omission_rate'].label} (less is better)")
    axis.set_ylabel(f"{METRICS['mean_wasserstein'].label} (more is better)")
    axis.margins(0.08)
    axis.set_title("↖ better", loc="left", color="#777777")
    legend_below(figure, list(summary), method_styles, lines=False)
    return figure


def precision_recall(group: ResultGroup, method_styles: Looks) -> Figure:
    """Precision against recall of the direct edges, as more of the best edges are taken."""
    methods = list(summarise(group))
    figure, (axis,) = panels(1, 3.3 + legend_height(methods), group.title)
    precision = mean_curve(group, lambda record: record.truth.precision if record.truth else record.wasserstein)
    recall = mean_curve(group, lambda record: record.truth.recall if record.truth else record.wasserstein)
    for method in methods:
        shared = [edges for edges in precision.get(method, {}) if edges in recall[method]]
        points = {recall[method][edges].mean: precision[method][edges].mean for edges in shared}
        look = method_styles[method]
        axis.plot(list(points), list(points.values()), **{**look.line, "markevery": [-1] if points else None})
    axis.set_xlim(left=0)
    axis.set_ylim(0, 1.02)
    axis.set_xlabel("recall of direct edges")
    axis.set_ylabel("precision, direct edges")
    legend_below(figure, methods, method_styles)
    return figure


def _height(group: ResultGroup) -> float:
    """Inches that leave room for the names of all methods beside the lines."""
    return max(3.4, 0.9 + 0.16 * group.runs["method"].nunique())


def _bar(value: Estimate) -> float | None:
    return None if np.isnan(value.half_width) else value.half_width


def _over_fractions(axis: Axes, group: ResultGroup, method_styles: Looks, metric: str) -> None:
    lines = by_fraction(group, metric)
    for index, (method, points) in enumerate(lines.items()):
        # Moved aside a little, so that intervals of equal fractions stand beside each other.
        shift = (index - (len(lines) - 1) / 2) * min(0.5, 4 / len(lines))
        shifted = {100 * fraction + shift: point for fraction, point in points.items()}
        draw_line(axis, shifted, method_styles[method])
    axis.set_xticks([100 * fraction for fraction in sorted(group.runs["fraction"].unique())])
    axis.set_xlabel("perturbations trained on (%)")
    axis.set_ylabel(METRICS[metric].label)


def _dots(
    group: ResultGroup, method_styles: Looks, measures: Sequence[str], order_by: str
) -> tuple[Figure, Axes, list[str]]:
    """One row per method, one panel per metric: mean, interval, and every replicate as a faint dot.

    Returns the figure, its first panel, and the methods from the lowest row upwards.
    """
    summary, values = summarise(group), replicate_values(group)
    better = 1 if METRICS[order_by].better == "higher" else -1
    methods = sorted(summary, key=lambda name: np.nan_to_num(better * summary[name][order_by].mean, nan=-np.inf))
    figure, axes = panels(len(measures), 1.0 + 0.23 * len(methods), group.title, sharey=True)
    for axis, metric in zip(axes, measures, strict=True):
        for row, method in enumerate(methods):
            look, value = method_styles[method], summary[method][metric]
            every = values.loc[method][metric]
            axis.plot(every, [row] * len(every), "o", color=look.colour, markersize=3, alpha=0.3, markeredgewidth=0)
            axis.errorbar(value.mean, row, xerr=_bar(value), fmt="o", color=look.colour, markersize=6, elinewidth=1.6)
        axis.set_xlabel(METRICS[metric].heading)
        axis.grid(axis="y", visible=False)
        axis.tick_params(axis="y", length=0)
        if order_by == "seconds":
            logarithmic(axis, "x", least=10)
            continue
        axis.locator_params(axis="x", nbins=4)
        if RANDOM in summary and summary[RANDOM][metric].count:
            axis.axvline(summary[RANDOM][metric].mean, color=FAINT, linewidth=1, linestyle=":", zorder=1)
    axes[0].set_yticks(range(len(methods)), [short(method) for method in methods])
    axes[0].set_ylim(-0.6, len(methods) - 0.4)
    for label, method in zip(axes[0].get_yticklabels(), methods, strict=True):
        if is_catran(method):
            label.set(color=method_styles[method].colour, fontweight="bold")
    return figure, axes[0], methods
