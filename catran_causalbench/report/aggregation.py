"""Read runs, group those on comparable data, and estimate every metric of a group with an interval."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import integrate, stats

from catran_causalbench.causalbench.dataset_spec import OBSERVATIONAL
from catran_causalbench.errors import InputError
from catran_causalbench.report.metrics import METRICS, Estimate, metric_values
from catran_causalbench.simulation.causal_model import SimulationConfig
from catran_causalbench.simulation.presets import difficulty_of, with_difficulty
from catran_causalbench.sweep.plan import EvaluationProtocol
from catran_causalbench.sweep.records import Curve, RunResult, read_identity, read_sweep

RANDOM = "random"


def is_catran(method: str) -> bool:
    """Return whether a method is CaTran with one of its presets or settings files."""
    return method.lower().startswith("catran")


def estimate(values: Iterable[float]) -> Estimate:
    """Return the mean and the 95 % t-interval of independent values, without those that are NaN."""
    known = np.array([value for value in values if not np.isnan(value)], dtype=np.float64)
    if len(known) < 2:
        return Estimate(known.sum() if len(known) else np.nan, np.nan, len(known))
    standard_error = known.std(ddof=1) / np.sqrt(len(known))
    return Estimate(float(known.mean()), float(stats.t.ppf(0.975, len(known) - 1) * standard_error), len(known))


def runs_table(results: Iterable[RunResult]) -> pd.DataFrame:
    """Return one row per run: what was run, every metric of the whole network, and the machine."""
    return pd.DataFrame(
        {
            name: value
            for name, value in vars(result).items()
            if isinstance(value, str | bool | int | float) and name not in METRICS
        }
        | metric_values(result)
        | {f"machine_{name}": value for name, value in result.machine.items()}
        for result in results
    )


@dataclass(frozen=True)
class ResultGroup:
    """Runs that may be compared and pooled: the same measured data or settings of the simulation, the same protocol.

    Attributes
    ----------
    name, simulated
        What distinguishes it from the report's other groups; whether its data are simulated.
    replicate
        What is repeated: ``data set`` or ``seed``.
    protocol
        The options of the evaluation, if the sweep recorded them.
    results, directories
        The runs, and where each is stored.
    runs
        One row per run, in the order of the results (see :func:`runs_table`), with its ``replicate``.
    """

    name: str
    simulated: bool
    replicate: str
    protocol: dict[str, Any]
    results: tuple[RunResult, ...]
    directories: tuple[Path, ...]
    runs: pd.DataFrame

    @property
    def title(self) -> str:
        """Name and number of replicates, after the word SIMULATED if the data are."""
        count = self.runs["replicate"].nunique()
        return f"{'SIMULATED · ' * self.simulated}{self.name} · {count} {self.replicate}{'s' * (count != 1)}"

    @property
    def fraction(self) -> float:
        """The largest share of the perturbations that was trained on."""
        return float(self.runs["fraction"].max())

    @property
    def has_truth(self) -> bool:
        """Whether some run was compared with the ground truth."""
        return "effect_recovery" in self.runs and bool(self.runs["effect_recovery"].notna().any())

    @property
    def leading_metric(self) -> str:
        """The metric by which methods are ranked: against the ground truth if it is known, else beyond noise."""
        return "effect_recovery" if self.has_truth else "excess_wasserstein"

    @property
    def reference_metrics(self) -> list[str]:
        """Names of the metrics against reference networks."""
        prefixes = tuple(f"{name}_" for result in self.results for name in result.references)
        return [column for column in self.runs if str(column).startswith(prefixes) and column not in METRICS]

    @cached_property
    def values(self) -> pd.DataFrame:
        """Every metric at the group's largest fraction, indexed by method and replicate.

        Several seeds of one data set are averaged. Challenge score and improvement are computed within each replicate,
        so that they have intervals.
        """
        columns = [name for name in (*METRICS, *self.reference_metrics) if name in self.runs]
        keys = ["method", "replicate"]
        means = self.runs[self.runs["fraction"] == self.fraction].groupby(keys)[columns].mean()
        return means.join(self._challenge_metrics(keys), how="outer")

    @cached_property
    def summary(self) -> dict[str, dict[str, Estimate]]:
        """Method → metric → estimate, the best method first."""
        names = [name for name in (*METRICS, *self.reference_metrics) if name in self.values]
        summary = {
            str(method): {name: estimate(rows[name]) for name in names}
            for method, rows in self.values.groupby("method")
        }
        return dict(
            sorted(summary.items(), key=lambda item: -np.nan_to_num(item[1][self.leading_metric].mean, nan=-np.inf))
        )

    @cached_property
    def incomplete(self) -> dict[str, str]:
        """Methods that lack replicates at the largest fraction, and how many they have, such as ``2 of 3 seeds``."""
        complete = self.runs["replicate"].where(self.runs["fraction"] == self.fraction)
        counts, every = complete.groupby(self.runs["method"]).nunique(), self.runs["replicate"].nunique()
        return {str(name): f"{count} of {every} {self.replicate}s" for name, count in counts.items() if count < every}

    @property
    def score_of_medians(self) -> dict[str, float]:
        """Each method's challenge score as the challenge computes it: from the median over all runs of a fraction."""
        return self._challenge_metrics(["method"])["challenge_score"].to_dict()

    @property
    def best_run(self) -> int:
        """Position of the best run of CaTran or, without CaTran, of the best method."""
        method = next(filter(is_catran, self.summary), next(iter(self.summary)))
        runs = self.runs[self.runs["method"] == method]
        runs = runs[runs["fraction"] == runs["fraction"].max()]
        return int(runs[self.leading_metric].fillna(-np.inf).idxmax())

    def by_fraction(self, metric: str) -> dict[str, dict[float, Estimate]]:
        """Estimate one metric for each method and fraction."""
        return _estimates(self.runs.groupby(["method", "fraction", "replicate"])[metric].mean())

    def mean_curve(self, pick: Callable[[RunResult], Curve]) -> dict[str, dict[int, Estimate]]:
        """Estimate a curve at the largest fraction, for each method and number of edges.

        Only numbers of edges that all replicates of the method share are kept: at others the mean would jump.
        """
        points = [
            (result.method, edges, replicate, value)
            for result, replicate in zip(self.results, self.runs["replicate"], strict=True)
            if result.fraction == self.fraction
            for edges, value in zip(pick(result).edges, pick(result).value, strict=True)
        ]
        keys = ["method", "edges", "replicate"]
        values = pd.DataFrame(points, columns=[*keys, "value"]).groupby(keys)["value"].mean()
        replicates = values.groupby(["method", "edges"]).transform("size")
        return _estimates(values[replicates == replicates.groupby("method").transform("max")])

    def _challenge_metrics(self, keys: list[str]) -> pd.DataFrame:
        """Return challenge score and improvement, indexed by the keys, as in the challenge's plotting script.

        The score is the trapezoid area under the median of mean Wasserstein over the fractions; the improvement is the
        median at 1 minus that at 0.25. NaN if a fraction is missing or there is only one.
        """
        medians = self.runs.groupby([*keys, "fraction"])["mean_wasserstein"].median()
        wasserstein = medians.unstack("fraction").sort_index(axis=1)
        fractions = wasserstein.columns.to_numpy(dtype=float)
        metrics = pd.DataFrame(np.nan, wasserstein.index, ["challenge_score", "improvement"])
        if len(fractions) > 1:
            metrics["challenge_score"] = integrate.trapezoid(wasserstein.to_numpy(), fractions)
        if {0.25, 1.0} <= set(fractions):
            metrics["improvement"] = wasserstein[1.0] - wasserstein[0.25]
        return metrics


def _estimates(values: pd.Series) -> dict[str, dict[Any, Estimate]]:
    """Estimate values, indexed by method, position and replicate, for each method and position."""
    estimates: dict[str, dict[Any, Estimate]] = {}
    for (method, position), replicates in values.groupby(level=[0, 1]):
        estimates.setdefault(str(method), {})[position] = estimate(replicates)
    return estimates


def read_results(sweeps: Iterable[Path]) -> tuple[list[tuple[Path, RunResult]], dict[Path, dict[str, Any]]]:
    """Read finished runs, each with its directory, and the evaluation protocol of every sweep that has any.

    Raise InputError if a sweep has no finished run, or if they differ in code, data or a method's settings.
    """
    found = [run for sweep in sweeps for run in read_sweep(sweep.absolute())]
    identities = {sweep: read_identity(sweep) for sweep in dict.fromkeys(_sweep_of(run) for run, _ in found)}
    options = [option.name for option in fields(EvaluationProtocol)]
    known: dict[str, tuple[Path, Any]] = {}
    for sweep, identity in identities.items():
        for key, value in identity.items():
            first, before = known.setdefault(key, (sweep, value))
            if value != before and key not in options:
                expected = "the same in all sweeps of a report; report these separately"
                raise InputError.of(key, f"{value!r} in {str(sweep)!r}, where {str(first)!r} has {before!r}", expected)
    protocols = {
        sweep: {option: identity[option] for option in options if option in identity}
        for sweep, identity in identities.items()
    }
    return found, protocols


def _sweep_of(run: Path) -> Path:
    return run.parent.parent  # runs are in SWEEP/DATA/RUN


def group_results(
    found: Sequence[tuple[Path, RunResult]], protocols: Mapping[Path, Mapping[str, Any]]
) -> list[ResultGroup]:
    """Group runs by what their data and their evaluation have in common; see :func:`read_results`.

    Simulated data sets that differ only in their seed belong together; a measured data set is on its own. Runs on
    controls alone (the observational regime) are separate groups, because they see less, and so are runs with another
    evaluation protocol. Replicates are data sets if there are several, otherwise seeds.
    """
    by_data: dict[tuple[str, bool, bool], dict[tuple[Any, ...], list[tuple[Path, RunResult]]]] = {}
    for directory, result in found:
        data = json.dumps(result.data_settings, sort_keys=True) if result.data_settings else result.data
        by_protocol = by_data.setdefault((data, result.simulated, result.regime == OBSERVATIONAL), {})
        by_protocol.setdefault(tuple(protocols.get(_sweep_of(directory), {}).items()), []).append((directory, result))
    every_settings = [result.data_settings for _, result in found]
    groups = []
    for (_, simulated, observational), by_protocol in by_data.items():
        common = set.intersection(*map(set, by_protocol))
        for protocol, runs_found in by_protocol.items():
            directories, results = zip(*runs_found, strict=True)
            name = data_name(results[0].data_settings, every_settings) or results[0].data
            differing = [f"{option} {value}" for option, value in protocol if (option, value) not in common]
            name = ", ".join([name + " · controls only" * observational, *differing])
            runs = runs_table(results)
            replicate = "data set" if simulated and runs["data"].nunique() > 1 else "seed"
            runs["replicate"] = runs["data" if replicate == "data set" else "seed"]
            groups.append(ResultGroup(name, simulated, replicate, dict(protocol), results, directories, runs))
    return groups


def data_name(settings: Mapping[str, Any], every_settings: Iterable[Mapping[str, Any]]) -> str:
    """Name simulated data by their settings, such as ``30 genes, 4,500 cells, hard, edges from trrust.tsv``.

    The name contains genes, cells, and each setting that is not at its default in some of the report's data, whose
    settings are ``every_settings``. Measured data have no settings, and their name is empty.
    """
    if not settings:
        return ""
    unusual = dict.fromkeys(name for each in [settings, *every_settings] if each for name in _unusual(each))
    graph = settings.get("regulatory_graph")
    edges = f"edges from {graph}" if graph else "random edges"
    words = {"difficulty": difficulty_of(settings), "regulatory_graph": edges}
    parts = [f"{settings[name]:,} {name}" for name in ("genes", "cells") if name in settings]
    return ", ".join(parts + [words.get(name) or f"{name.replace('_', ' ')} {settings.get(name)}" for name in unusual])


def _unusual(settings: Mapping[str, Any]) -> list[str]:
    """Name the settings, except genes and cells, that have neither their default nor their difficulty's value."""
    difficulty = difficulty_of(settings)
    usual = {**asdict(with_difficulty(SimulationConfig(), difficulty)), "difficulty": "standard"}
    values = {"difficulty": difficulty, **settings, "genes": usual["genes"], "cells": usual["cells"]}
    return [name for name, value in values.items() if value != usual.get(name)]
