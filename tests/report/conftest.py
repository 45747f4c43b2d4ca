"""Runs, groups of runs and sweeps, made up, for the tests of the report."""

import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from catran_causalbench.report.aggregation import group_results
from catran_causalbench.report.page import write_report
from catran_causalbench.sweep.records import Curve, GroundTruthScores, RunResult


@pytest.fixture(scope="session")
def result():
    """Make a run; on a simulated data set by its number, or on the measured one ``screen``."""

    def make(method="catran", data_set=0, fraction=1.0, w1=0.2, effect_recovery=0.5, simulated=True, seed=0, **others):
        precision, recall = Curve([10, 20], [0.8, 0.6]), Curve([10, 20], [0.1, 0.2])
        truth = GroundTruthScores(effect_recovery, 0.3, 0.4, 0.9, precision, recall, 0.7)
        run = RunResult(
            method=method,
            data=f"simulated-{data_set}" if simulated else "screen",
            title="SIMULATED DATA – no cell here was measured" if simulated else "A screen",
            simulated=simulated,
            regime="interventional" if fraction == 1 else "partial_interventional",
            fraction=fraction,
            seed=seed,
            num_edges=20,
            seconds=2.0,
            peak_megabytes=300.0,
            mean_wasserstein=w1,
            false_omission_rate=0.05,
            excess_wasserstein=w1 / 4,
            wasserstein=Curve([10, 20], [2 * w1, w1]),
            references={"corum": {"precision": 0.1, "recall": 0.2, "f1": 0.13}},
            truth=truth if simulated else None,
            machine={"processor": "a processor", "cores": 2, "gpu": ""},
            data_settings={"genes": 30, "cells": 4500} if simulated else {},
        )
        return replace(run, **others)

    return make


@pytest.fixture(scope="session")
def group_of():
    """Make the one group that some runs belong to."""

    def make(*results):
        (group,) = group_results([(Path(str(number)), run) for number, run in enumerate(results)], {})
        return group

    return make


@pytest.fixture(scope="session")
def write_sweep():
    """Write runs into the folder of a sweep, each with the edges of a small network unless told otherwise."""

    def write(folder, results, edges=True):
        for number, run in enumerate(results):
            place = folder / run.data / f"{number:03d}"
            place.mkdir(parents=True)
            run.write(place)
            if edges:
                pairs = [(f"GENE{i}", f"GENE{j}") for i in range(5) for j in range(5) if i != j]
                pd.DataFrame(pairs).to_csv(place / "output_network.csv")
        return folder

    return write


@pytest.fixture(scope="session")
def report(tmp_path_factory, result, write_sweep):
    """Report four methods on every data set and fraction, each better than the next, and one failed run."""
    folder = tmp_path_factory.mktemp("report")
    results = [
        result(method, data_set, fraction, (0.2 - 0.01 * rank) * fraction**0.1 + 0.01 * data_set, 0.9 - 0.1 * rank)
        for rank, method in enumerate(("catran", "mean_difference", "random", "oracle"))
        for data_set in (0, 1, 2)
        for fraction in (0.25, 0.5, 0.75, 1.0)
    ]
    sweep = write_sweep(folder / "sweep", results)
    failure = sweep / "simulated-0" / "sparserc-seed0"
    failure.mkdir()
    (failure / "failure.json").write_text(json.dumps({"type": "ValueError", "message": "<b>no</b> convergence"}))
    write_report([sweep], folder / "report")
    return folder / "report"
