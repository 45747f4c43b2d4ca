"""Runs become group_results of comparable data, and group_results become estimates with intervals."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from catran_causalbench.report.metrics import METRICS, Estimate
from catran_causalbench.sweep.records import Curve, RunResult

if TYPE_CHECKING:
    import pandas as pd

ORACLE, RANDOM = "oracle", "random"
# The challenge's improvement runs between these shares of the perturbations.
CHALLENGE_FRACTIONS = (0.25, 1.0)

_PLAIN = ("num_edges", "seconds", "peak_megabytes", "mean_wasserstein", "false_omission_rate", "excess_wasserstein")
_TRUE = ("captured", "average_precision", "ancestor_average_precision", "orientation", "ancestor_precision")


@dataclass(frozen=True)
class ResultGroup:
    """Runs that may be compared and pooled: one real data set, or simulated worlds of the same settings; equal rules.

    Attributes
    ----------
    name
        What distinguishes it from the other group_results.
    simulated
        Whether its data are simulated.
    replicate
        What is repeated: ``world`` or ``seed``.
    records, folders
        The runs, and where each is.
    runs
        One row per run, in the order of the records (see :func:`runs_table`), and its ``replicate``.
    """

    name: str
    simulated: bool
    replicate: str
    records: tuple[RunResult, ...]
    folders: tuple[Path, ...]
    runs: pd.DataFrame

    @property
    def title(self) -> str:
        """Name and number of replicates, with the word SIMULATED where it applies."""
        count = self.runs["replicate"].nunique()
        return f"{'SIMULATED · ' * self.simulated}{self.name} · {count} {self.replicate}{'s' * (count != 1)}"

    @property
    def fraction(self) -> float:
        """The largest share of the perturbations that was trained on."""
        return float(self.runs["fraction"].max())


def is_catran(method: str) -> bool:
    """Whether a method is one of CaTran's presets."""
    return method.lower().startswith("catran")


def runs_table(records: Iterable[RunResult]) -> pd.DataFrame:
    """Make one row per run: settings, every figure of the whole network, machine.

    Figures against a reference network are columns such as ``corum precision``.
    """
    import pandas as pd

    return pd.DataFrame([_flat(record) for record in records])


def group_results(
    found: Sequence[tuple[Path, RunResult]], rules: Mapping[Path, Mapping[str, Any]]
) -> list[ResultGroup]:
    """Group runs, each with its folder, by what their data are.

    Simulated worlds that differ in their seed alone are one group; a real data set is one by itself. Runs on controls
    alone (the observational regime) are a group of their own: they see less. Replicates are worlds where there are
    several, seeds otherwise. Runs by other rules (more edges, say) are a group of their own, named by what differs.
    """
    groups: dict[tuple[str, bool], dict[tuple[Any, ...], list[tuple[Path, RunResult]]]] = {}
    for folder, record in found:
        by_rules = groups.setdefault((_family_name(record), record.simulated), {})
        by_rules.setdefault(tuple(rules.get(folder, {}).items()), []).append((folder, record))
    made = []
    for (name, simulated), by_rules in groups.items():
        common = set.intersection(*(set(items) for items in by_rules))
        for items, group in by_rules.items():
            differing = [f"{rule} {value}" for rule, value in items if (rule, value) not in common]
            made.append(_family(", ".join([name, *differing]), simulated, group))
    return made


def estimate(values: Iterable[float]) -> Estimate:
    """Mean and 95 % t-interval of independent values; NaN values are left out."""
    from scipy import stats

    known = np.array([value for value in values if not np.isnan(value)], dtype=np.float64)
    if len(known) < 2:
        return Estimate(float(known[0]) if len(known) else float("nan"), float("nan"), len(known))
    standard_error = known.std(ddof=1) / np.sqrt(len(known))
    return Estimate(float(known.mean()), float(stats.t.ppf(0.975, len(known) - 1) * standard_error), len(known))


def replicate_values(group: ResultGroup) -> pd.DataFrame:
    """Every metric, indexed by method and replicate, at the group's largest fraction.

    Several seeds of one world are averaged. The challenge's figures are those of :func:`challenge_figures`.
    """
    runs = group.runs[group.runs["fraction"] == group.fraction]
    plain = runs.groupby(["method", "replicate"]).mean(numeric_only=True)
    return plain.drop(columns=["fraction", "seed", "simulated"]).join(challenge_figures(group), how="outer")


def challenge_figures(group: ResultGroup) -> pd.DataFrame:
    """Give each method's challenge score and improvement, indexed by method and replicate.

    As in the challenge's plotting script, the score is the trapezoid area of mean Wasserstein over the fractions, after
    the median over seeds, and the improvement is its value at 1 minus that at 0.25. Here the median is taken within
    each replicate, so that intervals can be given. NaN where a fraction is missing, or there is only one.
    """
    return _areas(_wasserstein_by_fraction(group, ["method", "replicate"]))


def score_of_medians(group: ResultGroup) -> dict[str, float]:
    """Challenge score of each method exactly as the challenge has it: from the median over all runs of a fraction."""
    return _areas(_wasserstein_by_fraction(group, ["method"]))["challenge_score"].to_dict()


def best_run(group: ResultGroup) -> int:
    """Find the run that shows best what CaTran does, or where it has none, what the best method does."""
    summary = summarise(group)
    method = next((name for name in summary if is_catran(name)), next(iter(summary)))
    runs = group.runs[group.runs["method"] == method]
    runs = runs[runs["fraction"] == runs["fraction"].max()]
    return int(runs[leading_metric(group)].fillna(-np.inf).idxmax())


def summarise(group: ResultGroup) -> dict[str, dict[str, Estimate]]:
    """Estimate every figure of every method, the best method first.

    Returns
    -------
    dict
        Method → metric → estimate. References' figures follow the measures.
    """
    values = replicate_values(group)
    figures = [name for name in (*METRICS, *reference_columns(group)) if name in values]
    summary = {
        str(method): {name: estimate(group[name]) for name in figures} for method, group in values.groupby("method")
    }
    leading = leading_metric(group)
    return dict(sorted(summary.items(), key=lambda item: (-np.nan_to_num(item[1][leading].mean, nan=-np.inf), item[0])))


def leading_metric(group: ResultGroup) -> str:
    """Name the metric that orders methods: what is true where truth is known, what is beyond noise elsewhere."""
    return "captured" if "captured" in group.runs else "excess_wasserstein"


def reference_columns(group: ResultGroup) -> list[str]:
    """Columns of the figures against reference networks."""
    return [f"{name} {figure}" for name, figure in _reference_figures(group.records)]


def by_fraction(group: ResultGroup, metric: str) -> dict[str, dict[float, Estimate]]:
    """Estimate one metric per method and fraction."""
    values = group.runs.groupby(["method", "fraction", "replicate"])[metric].mean()
    estimates: dict[str, dict[float, Estimate]] = {}
    for (method, fraction), replicates in values.groupby(["method", "fraction"]):
        estimates.setdefault(str(method), {})[float(fraction)] = estimate(replicates)
    return estimates


def mean_curve(group: ResultGroup, pick: Callable[[RunResult], Curve]) -> dict[str, dict[int, Estimate]]:
    """Estimate a figure per method and number of edges, at the largest fraction.

    Only numbers of edges that all replicates of the method have are kept: elsewhere the mean would jump.
    """
    found: dict[str, dict[int, dict[Any, list[float]]]] = {}
    for record, replicate in zip(group.records, group.runs["replicate"], strict=True):
        if record.fraction == group.fraction:
            curve = pick(record)
            for edges, value in zip(curve.edges, curve.value, strict=True):
                found.setdefault(record.method, {}).setdefault(edges, {}).setdefault(replicate, []).append(value)
    curves: dict[str, dict[int, Estimate]] = {}
    for method, points in found.items():
        full = max(len(replicates) for replicates in points.values())
        curves[method] = {
            edges: estimate(float(np.mean(values)) for values in points[edges].values())
            for edges in sorted(points)
            if len(points[edges]) == full
        }
    return curves


def _flat(record: RunResult) -> dict[str, Any]:
    row: dict[str, Any] = {
        name: getattr(record, name)
        for name in ("method", "data", "headline", "simulated", "regime", "fraction", "seed")
    }
    row |= {name: getattr(record, name) for name in _PLAIN}
    if record.truth is not None:
        row |= {name: getattr(record.truth, name) for name in _TRUE}
        row |= {name: (getattr(record.truth, name).value or [float("nan")])[-1] for name in ("precision", "recall")}
    for reference, figures in record.references.items():
        row |= {f"{reference} {figure}": value for figure, value in figures.items()}
    return row | {f"machine {name}": value for name, value in record.machine.items()}


def _family_name(record: RunResult) -> str:
    name = record.data
    if record.simulated:
        name = re.sub(r",? *\bseed \d+", "", record.headline.split(";")[-1]).strip() or record.data
    return f"{name} · controls only" if record.regime == "observational" else name


def _family(name: str, simulated: bool, group: list[tuple[Path, RunResult]]) -> ResultGroup:
    folders, records = zip(*group, strict=True)
    replicate = "world" if simulated and len({record.data for record in records}) > 1 else "seed"
    runs = runs_table(records)
    runs["replicate"] = runs["data" if replicate == "world" else "seed"]
    return ResultGroup(name, simulated, replicate, records, folders, runs)


def _reference_figures(records: Iterable[RunResult]) -> list[tuple[str, str]]:
    """Pairs of a reference network and a figure against it, in the order of their first appearance."""
    pairs = {
        (name, figure): None for record in records for name, figures in record.references.items() for figure in figures
    }
    return list(pairs)


def _wasserstein_by_fraction(group: ResultGroup, keys: list[str]) -> pd.DataFrame:
    return group.runs.groupby([*keys, "fraction"])["mean_wasserstein"].median().unstack("fraction").sort_index(axis=1)


def _areas(wasserstein: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd
    from scipy import integrate

    fractions = wasserstein.columns.to_numpy(dtype=float)
    low, high = CHALLENGE_FRACTIONS
    missing = pd.Series(np.nan, wasserstein.index)
    return pd.DataFrame(
        {
            "challenge_score": integrate.trapezoid(wasserstein.to_numpy(), fractions)
            if len(fractions) > 1
            else missing,
            "improvement": wasserstein[high] - wasserstein[low] if {low, high} <= set(fractions) else missing,
        },
        index=wasserstein.index,
    )
