"""Group runs on comparable data, and estimate every metric of a group with an interval."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from catran_causalbench.causalbench.dataset_spec import OBSERVATIONAL
from catran_causalbench.report.metrics import METRICS, Estimate, metric_values
from catran_causalbench.simulation import SimulationConfig, difficulty_of, with_difficulty
from catran_causalbench.sweep.records import Curve, RunResult

ORACLE, RANDOM = "oracle", "random"
# The challenge's improvement is that between these shares of the perturbations.
CHALLENGE_FRACTIONS = (0.25, 1.0)


@dataclass(frozen=True)
class ResultGroup:
    """Runs that may be compared and pooled: the same measured data or settings of the simulation, the same protocol.

    Attributes
    ----------
    name
        What distinguishes it from the report's other groups.
    simulated
        Whether its data are simulated.
    replicate
        What is repeated: ``data set`` or ``seed``.
    results, folders
        The runs, and where each is.
    runs
        One row per run, in the order of the results (see :func:`runs_table`), and its ``replicate``.
    """

    name: str
    simulated: bool
    replicate: str
    results: tuple[RunResult, ...]
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


def runs_table(results: Iterable[RunResult]) -> pd.DataFrame:
    """Make one row per run: what was run, every metric of the whole network, and the machine."""
    named = ("method", "data", "headline", "simulated", "regime", "fraction", "seed")
    return pd.DataFrame(
        {name: getattr(result, name) for name in named}
        | metric_values(result)
        | {f"machine_{name}": value for name, value in result.machine.items()}
        for result in results
    )


def group_results(
    found: Sequence[tuple[Path, RunResult]], protocols: Mapping[Path, Mapping[str, Any]]
) -> list[ResultGroup]:
    """Group runs, each given with its folder, by what their data and their evaluation have in common.

    Simulated data sets that differ in their seed alone belong together; a measured data set stands for itself. Runs on
    controls alone (the observational regime) are groups of their own, because they see less, and so are runs with
    another evaluation protocol. Replicates are data sets where there are several, seeds otherwise.
    """
    groups: dict[tuple[Any, ...], list[tuple[Path, RunResult]]] = {}
    for folder, result in found:
        data = json.dumps(result.data_settings, sort_keys=True) if result.data_settings else result.data
        protocol = tuple(protocols.get(folder, {}).items())
        key = (data, result.simulated, result.regime == OBSERVATIONAL, protocol)
        groups.setdefault(key, []).append((folder, result))
    every_settings = [group[0][1].data_settings for group in groups.values()]
    by_data: dict[tuple[Any, ...], list[tuple[Any, ...]]] = {}
    for key in groups:
        by_data.setdefault(key[:-1], []).append(key)
    made = []
    for (*_, observational), keys in by_data.items():
        common = set.intersection(*(set(protocol) for *_, protocol in keys))
        for key in keys:
            folders, results = zip(*groups[key], strict=True)
            name = data_name(results[0].data_settings, every_settings) or results[0].data
            differing = [f"{option} {value}" for option, value in key[-1] if (option, value) not in common]
            made.append(
                _make_group(", ".join([name + " · controls only" * observational, *differing]), results, folders)
            )
    return made


def _make_group(name: str, results: tuple[RunResult, ...], folders: tuple[Path, ...]) -> ResultGroup:
    runs, simulated = runs_table(results), results[0].simulated
    several = simulated and runs["data"].nunique() > 1
    runs["replicate"] = runs["data" if several else "seed"]
    return ResultGroup(name, simulated, "data set" if several else "seed", results, folders, runs)


def data_name(settings: Mapping[str, Any], every_settings: Iterable[Mapping[str, Any]]) -> str:
    """Name simulated data by their settings, such as ``30 genes, 4,500 cells, hard, edges from trrust.tsv``.

    Named are genes, cells, and each setting that is not at its default, or differs, in any of the report's data.

    Parameters
    ----------
    settings
        What the data were simulated from, without the seed; empty for measured data, which get no name.
    every_settings
        The settings of all data of the report, these among them.
    """
    if not settings:
        return ""
    named = dict.fromkeys(name for each in every_settings if each for name in _unusual(each))
    values = {**settings, "difficulty": _difficulty(settings)}
    graph = values.get("regulatory_graph")
    words = {"difficulty": values["difficulty"], "regulatory_graph": f"edges from {graph}" if graph else "random edges"}
    parts = [f"{settings[name]:,} {name}" for name in ("genes", "cells") if name in settings]
    return ", ".join(parts + [words.get(name) or f"{name.replace('_', ' ')} {values.get(name)}" for name in named])


def _difficulty(settings: Mapping[str, Any]) -> str:
    known = {field.name for field in fields(SimulationConfig)} & set(settings)
    return difficulty_of(SimulationConfig(**{name: settings[name] for name in known})) or "standard"


def _unusual(settings: Mapping[str, Any]) -> list[str]:
    """Name the settings, but for genes and cells, that have neither their default nor their difficulty's value."""
    usual = {**asdict(with_difficulty(SimulationConfig(), _difficulty(settings))), "difficulty": "standard"}
    values = {"difficulty": _difficulty(settings), **settings}
    return [name for name, value in values.items() if name not in ("genes", "cells") and value != usual.get(name)]


def estimate(values: Iterable[float]) -> Estimate:
    """Mean and 95 % t-interval of independent values; NaN values are left out."""
    from scipy import stats

    known = np.array([value for value in values if not np.isnan(value)], dtype=np.float64)
    if len(known) < 2:
        return Estimate(float(known[0]) if len(known) else float("nan"), float("nan"), len(known))
    standard_error = known.std(ddof=1) / np.sqrt(len(known))
    return Estimate(float(known.mean()), float(stats.t.ppf(0.975, len(known) - 1) * standard_error), len(known))


def replicate_values(group: ResultGroup) -> pd.DataFrame:
    """Return every metric, indexed by method and replicate, at the group's largest fraction.

    Several seeds of one data set are averaged. The challenge's metrics are those of :func:`challenge_metrics`.
    """
    runs = group.runs[group.runs["fraction"] == group.fraction]
    columns = [name for name in (*METRICS, *reference_metrics(group)) if name in runs]
    return runs.groupby(["method", "replicate"])[columns].mean().join(challenge_metrics(group), how="outer")


def challenge_metrics(group: ResultGroup) -> pd.DataFrame:
    """Return each method's challenge score and improvement, indexed by method and replicate.

    As in the challenge's plotting script, the score is the trapezoid area of mean Wasserstein over the fractions, after
    the median over seeds, and the improvement is its value at 1 minus that at 0.25. Here the median is taken within
    each replicate, so that intervals can be given. NaN where a fraction is missing, or there is only one.
    """
    return _areas(group, ["method", "replicate"])


def score_of_medians(group: ResultGroup) -> dict[str, float]:
    """Challenge score of each method exactly as the challenge has it: from the median over all runs of a fraction."""
    return _areas(group, ["method"])["challenge_score"].to_dict()


def _areas(group: ResultGroup, keys: list[str]) -> pd.DataFrame:
    from scipy import integrate

    medians = group.runs.groupby([*keys, "fraction"])["mean_wasserstein"].median()
    wasserstein = medians.unstack("fraction").sort_index(axis=1)
    fractions = wasserstein.columns.to_numpy(dtype=float)
    low, high = CHALLENGE_FRACTIONS
    areas = pd.DataFrame(np.nan, wasserstein.index, ["challenge_score", "improvement"])
    if len(fractions) > 1:
        areas["challenge_score"] = integrate.trapezoid(wasserstein.to_numpy(), fractions)
    if {low, high} <= set(fractions):
        areas["improvement"] = wasserstein[high] - wasserstein[low]
    return areas


def best_run(group: ResultGroup) -> int:
    """Return the position of CaTran's best run or, without CaTran, of the best method's."""
    summary = summarise(group)
    method = next(filter(is_catran, summary), next(iter(summary)))
    runs = group.runs[group.runs["method"] == method]
    runs = runs[runs["fraction"] == runs["fraction"].max()]
    return int(runs[leading_metric(group)].fillna(-np.inf).idxmax())


def summarise(group: ResultGroup) -> dict[str, dict[str, Estimate]]:
    """Estimate every metric of every method: method → metric → estimate, the best method first."""
    values = replicate_values(group)
    names = [name for name in (*METRICS, *reference_metrics(group)) if name in values]
    summary = {str(method): {name: estimate(rows[name]) for name in names} for method, rows in values.groupby("method")}
    leading = leading_metric(group)
    return dict(sorted(summary.items(), key=lambda item: (-np.nan_to_num(item[1][leading].mean, nan=-np.inf), item[0])))


def leading_metric(group: ResultGroup) -> str:
    """Name the metric that orders methods: against the true network where it is known, beyond noise elsewhere."""
    return "effect_recovery" if "effect_recovery" in group.runs else "excess_wasserstein"


def reference_metrics(group: ResultGroup) -> list[str]:
    """Name the metrics against reference networks, in the order of their first appearance."""
    return list(
        dict.fromkeys(
            f"{reference}_{name}"
            for result in group.results
            for reference, agreement in result.references.items()
            for name in agreement
        )
    )


def incomplete(group: ResultGroup) -> dict[str, str]:
    """Say which methods lack replicates at the largest fraction, and how many they have."""
    runs, every = group.runs, group.runs["replicate"].nunique()
    counts = runs["replicate"].where(runs["fraction"] == group.fraction).groupby(runs["method"], sort=False).nunique()
    return {str(name): f"{count} of {every} {group.replicate}s" for name, count in counts.items() if count < every}


def by_fraction(group: ResultGroup, metric: str) -> dict[str, dict[float, Estimate]]:
    """Estimate one metric per method and fraction."""
    return _estimates(group.runs.groupby(["method", "fraction", "replicate"])[metric].mean())


def mean_curve(group: ResultGroup, pick: Callable[[RunResult], Curve]) -> dict[str, dict[int, Estimate]]:
    """Estimate a curve per method and number of edges, at the largest fraction.

    Only numbers of edges that all replicates of the method have are kept: elsewhere the mean would jump.
    """
    points = [
        (result.method, edges, replicate, value)
        for result, replicate in zip(group.results, group.runs["replicate"], strict=True)
        if result.fraction == group.fraction
        for edges, value in zip(pick(result).edges, pick(result).value, strict=True)
    ]
    table = pd.DataFrame(points, columns=["method", "edges", "replicate", "value"])
    values = table.groupby(["method", "edges", "replicate"])["value"].mean()
    replicates = values.groupby(["method", "edges"]).transform("size")
    return _estimates(values[replicates == replicates.groupby("method").transform("max")])


def _estimates(values: pd.Series) -> dict[str, dict[Any, Estimate]]:
    """Estimate values indexed by method, position and replicate, for every method and position."""
    estimates: dict[str, dict[Any, Estimate]] = {}
    for (method, position), replicates in values.groupby(level=[0, 1]):
        estimates.setdefault(str(method), {})[position] = estimate(replicates)
    return estimates
