"""Invented runs, groups of runs and sweeps for the tests of the report."""

import json
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.figure import Figure

from catran_causalbench.report import page
from catran_causalbench.report.aggregation import group_results
from catran_causalbench.report.figures import report_figures
from catran_causalbench.report.page import write_report
from catran_causalbench.sweep.records import Calibration, Curve, GroundTruthScores, RunResult


@pytest.fixture(scope="session")
def result():
    """Return a function that makes a run, on a simulated data set with a number or on the measured one ``screen``."""

    def make(method="catran", data_set=0, fraction=1.0, w1=0.2, effect_recovery=0.5, simulated=True, seed=0, **others):
        precision, recall = Curve([10, 20], [0.8, 0.6]), Curve([10, 20], [0.1, 0.2])
        truth = GroundTruthScores(effect_recovery, 0.3, 0.4, 0.9, precision, recall, 0.7)
        if method.startswith("catran"):
            known = Calibration([0.5, 0.2], [0.4, 0.1])
            truth = replace(truth, perturbed=known, unperturbed=known if fraction < 1 else Calibration())
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
    """Return a function that makes the one group to which some runs belong."""

    def make(*results):
        (group,) = group_results([(Path(str(number)), run) for number, run in enumerate(results)], {})
        return group

    return make


@pytest.fixture(scope="session")
def write_sweep():
    """Return a function that writes runs into the directory of a sweep, by default each with a small network."""

    def write(directory, results, edges=True):
        for number, run in enumerate(results):
            place = directory / run.data / f"{number:03d}"
            place.mkdir(parents=True)
            run.write(place)
            if edges:
                pairs = [(f"GENE{i}", f"GENE{j}") for i in range(5) for j in range(5) if i != j]
                pd.DataFrame(pairs).to_csv(place / "output_network.csv")
        return directory

    return write


@pytest.fixture
def draw_less(monkeypatch):
    """Return a function that limits reports to their first figures, and leaves the files of figures empty.

    PNG and PDF take most of the time of a report; the figures on the page are drawn all the same.
    """
    savefig = Figure.savefig

    def save(figure, target, **options):
        target.touch() if isinstance(target, Path) else savefig(figure, target, **options)

    def limit(figures=None):
        monkeypatch.setattr(Figure, "savefig", save)
        monkeypatch.setattr(page, "report_figures", lambda *arguments: islice(report_figures(*arguments), figures))

    return limit


@pytest.fixture(scope="session")
def report(tmp_path_factory, result, write_sweep):
    """Report four methods on every data set and fraction, each better than the next, and one failed run."""
    directory = tmp_path_factory.mktemp("report")
    results = [
        result(method, data_set, fraction, (0.2 - 0.01 * rank) * fraction**0.1 + 0.01 * data_set, 0.9 - 0.1 * rank)
        for rank, method in enumerate(("catran", "mean_difference", "random", "oracle"))
        for data_set in (0, 1, 2)
        for fraction in (0.25, 0.5, 0.75, 1.0)
    ]
    sweep = write_sweep(directory / "sweep", results)
    failure = sweep / "simulated-0" / "sparserc-seed0"
    failure.mkdir()
    (failure / "failure.json").write_text(json.dumps({"type": "ValueError", "message": "<b>no</b> convergence"}))
    write_report([sweep], directory / "report")
    return directory / "report"
