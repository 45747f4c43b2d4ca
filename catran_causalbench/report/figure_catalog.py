"""Which figures a group of runs can fill, and how to read each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import isnan
from typing import TYPE_CHECKING

from catran_causalbench.report import figures
from catran_causalbench.report.aggregation import ResultGroup, best_run, challenge_figures, mean_curve, summarise
from catran_causalbench.report.figure_style import MethodStyle

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class ReportFigure:
    """A figure of the report.

    Attributes
    ----------
    name
        Of its files, without extension.
    title, caption, alternative
        What it shows; how to read it; the same for those who cannot see it.
    figure
        A matplotlib figure.
    """

    name: str
    title: str
    caption: str
    alternative: str
    figure: Figure


def report_figures(group: ResultGroup, method_styles: Mapping[str, MethodStyle]) -> Iterator[ReportFigure]:
    """Draw what the group's runs suffice for."""
    methods = ", ".join(summarise(group))
    for plan in _PLANS:
        if plan.possible(group):
            alternative = f"{plan.title}; {group.title}. Methods, best first: {methods}. The table holds the numbers."
            yield ReportFigure(plan.name, plan.title, plan.caption, alternative, plan.draw(group, method_styles))
    run = best_run(group)
    if (group.folders[run] / "output_network.csv").exists():
        yield _network(group, run)


@dataclass(frozen=True)
class _Plan:
    name: str
    title: str
    caption: str
    draw: Callable[[ResultGroup, Mapping[str, MethodStyle]], Figure]
    possible: Callable[[ResultGroup], bool]


def _has_truth(group: ResultGroup) -> bool:
    return "captured" in group.runs and bool(group.runs["captured"].notna().any())


def _has_fractions(group: ResultGroup) -> bool:
    return group.runs["fraction"].nunique() > 1


def _has_curves(group: ResultGroup) -> bool:
    curves = mean_curve(group, lambda record: record.wasserstein)
    return any(sum(not isnan(point.mean) for point in points.values()) > 1 for points in curves.values())


_PLANS = (
    _Plan(
        "truth",
        "Captured effect and precision",
        "Farther right is better: the true effect of the edges as a share of what an oracle would get, and the "
        "share of edges that are direct edges of the true network.",
        figures.truth,
        _has_truth,
    ),
    _Plan(
        "precision-recall",
        "Precision against recall",
        "From left to right more of the best edges are taken; higher and farther right is better. The mark is the "
        "whole network.",
        figures.precision_recall,
        lambda group: _has_truth(group) and _has_curves(group),
    ),
    _Plan(
        "truth-by-fraction",
        "Captured effect and precision with fewer perturbations",
        "The farther left a method keeps its height, the less it needs every gene to be perturbed.",
        figures.truth_by_fraction,
        lambda group: _has_truth(group) and _has_fractions(group),
    ),
    _Plan(
        "challenge",
        "Challenge score and improvement",
        "Farther right is better. Dots are means over replicates, diamonds the challenge's own score: the area under "
        "the median. The score rewards noisy genes too, so an oracle need not be first.",
        figures.challenge,
        lambda group: bool(challenge_figures(group)["challenge_score"].notna().any()),
    ),
    _Plan(
        "wasserstein-by-fraction",
        "Mean Wasserstein distance with fewer perturbations",
        "A rising line is a method that uses added perturbations; bars are 95 % intervals, moved aside to stay apart.",
        figures.wasserstein_by_fraction,
        _has_fractions,
    ),
    _Plan(
        "wasserstein-by-edges",
        "Mean Wasserstein distance against the number of edges",
        "It falls with K for every method: compare at equal K only, one above the other. Both axes are logarithmic.",
        figures.wasserstein_by_edges,
        _has_curves,
    ),
    _Plan(
        "plane",
        "Mean Wasserstein distance against false omission rate",
        "Up and left is better: strong edges, and few strong ones left out. Bars are 95 % intervals.",
        figures.plane,
        lambda group: bool((group.runs["mean_wasserstein"] + group.runs["false_omission_rate"]).notna().any()),
    ),
    _Plan(
        "cost",
        "Run time and memory",
        "Farther left is better; both axes are logarithmic. Time of the inference alone, and the most memory that it "
        "took beyond what its process held before.",
        figures.cost,
        lambda group: True,
    ),
)


def _network(group: ResultGroup, run: int) -> ReportFigure:
    from catran_causalbench.plotting.network import draw_network

    record = group.records[run]
    kind = "SIMULATED data, " if record.simulated else ""
    subject = f"{kind}{record.method} on {record.data}, seed {record.seed}"
    return ReportFigure(
        "network",
        "The inferred network",
        "An arrow leads from a regulator to its target; thicker is surer. Genes with many targets are the hubs to look "
        "at first.",
        f"The inferred network as arrows between genes; {subject}. The run's output_network.csv lists all its edges.",
        draw_network(_read_edges(group, run), title=subject),
    )


def _read_edges(group: ResultGroup, run: int) -> pd.DataFrame:
    """Read the harness's file; it holds no weights, so an edge weighs by its rank: 1 for the best, falling to 0."""
    import pandas as pd

    edges = pd.read_csv(group.folders[run] / "output_network.csv", index_col=0, dtype=str)
    edges.columns = pd.Index(["source", "target"])
    if group.simulated:  # ids of simulated genes are long and say nothing; ENSGSIM00000012 is named SIM12
        edges = edges.replace(r"^ENSGSIM0*(?=\d)", "SIM", regex=True)
    return edges.assign(weight=[1 - rank / len(edges) for rank in range(len(edges))])
