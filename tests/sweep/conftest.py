"""A small simulated benchmark directory, plans for it, and workers that are threads of this process."""

import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from distributed import LocalCluster

from catran_causalbench.causalbench.build.from_simulation import write_simulated_directory
from catran_causalbench.simulation.causal_model import SimulationConfig
from catran_causalbench.sweep import worker
from catran_causalbench.sweep.plan import EvaluationProtocol, SweepPlan
from catran_causalbench.sweep.runner import run_sweep


def simulate(directory: Path, seed: int = 0, overwrite: bool = False) -> Path:
    settings = SimulationConfig(genes=12, cells=900, min_cells=20)
    return write_simulated_directory(directory, settings, seed, overwrite=overwrite)


@pytest.fixture(scope="session", name="simulate")
def _simulate():
    return simulate


@pytest.fixture(scope="session")
def directory(tmp_path_factory):
    return simulate(tmp_path_factory.mktemp("data") / "simulated")


@pytest.fixture(scope="session")
def protocol():
    return EvaluationProtocol(edges=30, omission_estimation_size=40)


@pytest.fixture
def make_plan(directory, protocol):
    """Return a function that makes a plan of two quick methods and two fractions, with changes."""

    def make(methods=("random", "mean_difference"), **changes):
        return SweepPlan(
            **{"methods": methods, "data": [directory], "fractions": [0.5, 1], "protocol": protocol, **changes}
        )

    return make


@pytest.fixture
def runs_at_once(monkeypatch):
    """Replace runs by short pauses; the list gets, for each run, how many are under way when it starts."""
    under_way, at_once = [], []

    def pause(*_):
        under_way.append("a run")
        at_once.append(len(under_way))
        time.sleep(0.05)
        under_way.pop()
        return SimpleNamespace(seconds=0.05, mean_wasserstein=0.1)

    monkeypatch.setattr(worker, "_run", pause)
    return at_once


@pytest.fixture(scope="session")
def cluster():
    """Return a function that starts a scheduler whose workers are this process, where tests may replace functions."""

    def start(workers=1):
        return LocalCluster(n_workers=workers, threads_per_worker=4, processes=False, dashboard_address="127.0.0.1:0")

    return start


@pytest.fixture(scope="module")
def threads(cluster):
    with cluster() as running:
        yield running.scheduler_address


@pytest.fixture
def sweep(threads):
    """Return a function that runs a plan and returns how each run ended."""

    def run(plan, output):
        runs = []
        run_sweep(plan, output, runs.append, scheduler=threads)
        return runs

    return run
