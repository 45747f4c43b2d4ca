"""The command `sweep`: its exit codes, its progress, and what remains if it is stopped or a worker dies."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest
from typer.testing import CliRunner

from catran_causalbench.causalbench.build.from_simulation import write_simulated_directory
from catran_causalbench.cli import app
from catran_causalbench.simulation.causal_model import SimulationConfig
from catran_causalbench.sweep.records import DETAILS, files_below, read_sweep

RUNS = ("--methods", "random,mean_difference", "--fractions", "0.5,1", "--seeds", "0,1,2,3,4,5,6,7", "--workers", "2")


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    settings = SimulationConfig(genes=12, cells=900, min_cells=20)
    return write_simulated_directory(tmp_path_factory.mktemp("data") / "simulated", settings, 0)


def start(output, directory, *options, **environment):
    arguments = [
        sys.executable,
        "-m",
        "catran_causalbench",
        "sweep",
        directory,
        "-o",
        output,
        "--edges",
        "30",
        *options,
    ]
    return subprocess.Popen(
        list(map(str, arguments)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=os.environ | environment,
    )


def wait_for(condition, process):
    while not condition():  # pytest's own timeout ends a test that waits for ever
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)


def times(output):
    return {path.parent.name: path.stat().st_mtime_ns for path in files_below(output, DETAILS)}


@pytest.mark.guarantee("Several processes", "A sweep survives the death of workers and of the process that drives it.")
@pytest.mark.skipif(not hasattr(os, "killpg"), reason="needs POSIX signals")
def test_killed_workers_and_runners_lose_nothing(directory, tmp_path):
    """Kill the command, check that its workers end, start it again, kill a worker, and find every run once.

    The table that comes last has the challenge score, the area over the fractions, as a mean over the seeds.
    """
    runner = start(tmp_path / "out", directory, *RUNS)
    wait_for(lambda: times(tmp_path), runner)
    workers = psutil.Process(runner.pid).children(recursive=True)
    runner.kill()
    runner.wait()
    gone, alive = psutil.wait_procs(workers, timeout=60)
    assert gone
    assert not alive
    before = times(tmp_path)
    assert 0 < len(before) < 32

    runner = start(tmp_path / "out", directory, *RUNS)
    wait_for(lambda: len(times(tmp_path)) > len(before), runner)
    victims = [child for child in psutil.Process(runner.pid).children() if "spawn_main" in " ".join(child.cmdline())]
    os.kill(victims[0].pid, signal.SIGKILL)
    table, said = runner.communicate(timeout=250)
    assert runner.returncode == 0, said
    assert before.items() <= times(tmp_path).items()
    results = [result for _, result in read_sweep(tmp_path)]
    assert len(results) == 32
    for method in ("random", "mean_difference"):
        half, whole = (
            np.mean([each.mean_wasserstein for each in results if (each.method, each.fraction) == (method, fraction)])
            for fraction in (0.5, 1)
        )
        (row,) = [line for line in table.splitlines() if f" {method} " in line]
        assert f"{(half + whole) / 4:.3f}" in row
    assert "challenge" in table
    assert "SIMULATED" in table
    assert "32 done · 0 failed · 0 left" in said
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["simulated", "sweep.json"]
    assert not list(tmp_path.rglob(".unfinished-*"))


@pytest.mark.guarantee(
    "Faults",
    "Commands that a scheduler or container ends (`SIGTERM`, exit code 143), and a sweep after Ctrl-C, "
    "leave no temporary file and no process.",
)
@pytest.mark.parametrize(("kind", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_sweep_leaves_its_results_only(directory, tmp_path, kind, code):
    """SIGINT comes from Ctrl-C, SIGTERM from schedulers and containers."""
    (tmp_path / "temporary").mkdir()
    runner = start(tmp_path / "out", directory, *RUNS, TMPDIR=str(tmp_path / "temporary"))
    wait_for(lambda: times(tmp_path), runner)
    workers = psutil.Process(runner.pid).children(recursive=True)
    runner.send_signal(kind)
    runner.communicate(timeout=120)
    assert runner.returncode == code
    assert psutil.wait_procs(workers, timeout=60)[1] == []
    assert not list((tmp_path / "temporary").iterdir())
    assert not list(tmp_path.rglob(".unfinished-*"))
    assert times(tmp_path)


def test_a_sweep_with_a_failed_run_ends_with_1(tmp_path):
    settings = SimulationConfig(genes=12, cells=900, min_cells=20)
    constant = write_simulated_directory(tmp_path / "constant", settings, 0)
    with np.load(constant / "dataset_rpe1.npz") as arrays:
        values = dict(arrays)
    values["expression_matrix"][values["interventions"] == "non-targeting", 0] = 1  # nothing to learn from controls
    np.savez(constant / "dataset_rpe1.npz", **values)
    arguments = ["sweep", constant, "-o", tmp_path / "out", "--methods", "random", "--regimes"]
    arguments = [str(part) for part in [*arguments, "observational,interventional", "--edges", 30, "--workers", 1]]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 1, result.output
    assert "failed constant/random-observational-seed0: InputError" in result.output
    assert "1 done · 1 failed · 0 left" in result.output


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--methods", "random", "--seeds", "one"], "seeds: found 'one'"),
        (["--methods", "random", "--dcdi-training-share", "2"], "dcdi_training_share: found 2"),
        ([], "methods"),
    ],
)
def test_options_that_cannot_be_used_end_with_2(directory, tmp_path, options, message):
    result = CliRunner().invoke(app, ["sweep", str(directory), "-o", str(tmp_path / "out"), *options])
    assert result.exit_code == 2
    assert message in result.output
