"""Sweeps: plans, the harness's own layout and figures, and what a stop, a failure or a dead worker leaves behind."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import psutil
import pytest
from distributed import KilledWorker, LocalCluster
from typer.testing import CliRunner

from catran_causalbench import baselines as rivals
from catran_causalbench.causalbench.benchmark_dataset import BenchmarkDataset
from catran_causalbench.causalbench.build.from_simulation import write_simulated_directory
from catran_causalbench.causalbench.dataset_spec import REGIMES, DatasetSpec
from catran_causalbench.cli import app
from catran_causalbench.errors import InputError
from catran_causalbench.evaluation import false_omission_rate
from catran_causalbench.methods import check_method, label, settings_digest
from catran_causalbench.simulation.causal_model import SimulationConfig
from catran_causalbench.sweep.plan import EvaluationProtocol, Run, SweepPlan
from catran_causalbench.sweep.records import FAILURE, RunResult, read_sweep
from catran_causalbench.sweep.runner import _outcome, pending, run_sweep
from catran_causalbench.sweep.worker import execute
from catran_causalbench.utils.fingerprint import code_version
from catran_causalbench.utils.hardware import PeakMemory, describe_machine
from catran_causalbench.utils.locking import lock_directory

SETTINGS = SimulationConfig(genes=12, cells=900, min_cells=20)
RULES = EvaluationProtocol(edges=30, omission_estimation_size=40)
QUICK = ["random", "mean_difference"]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return write_simulated_directory(tmp_path_factory.mktemp("data") / "world", SETTINGS, 0)


@pytest.fixture(scope="module")
def threads():
    """Start a scheduler whose one worker is this process, where tests may replace rivals."""
    with in_this_process() as cluster:
        yield cluster.scheduler_address


def in_this_process(workers=1):
    options = {"threads_per_worker": 4, "processes": False, "dashboard_address": "127.0.0.1:0"}
    return LocalCluster(n_workers=workers, **options)


def plan(world, methods=QUICK, **changes):
    return SweepPlan(**{"methods": methods, "data": [world], "fractions": [0.5, 1], "rules": RULES, **changes})


def sweep(plan, output, **where):
    outcomes = []
    run_sweep(plan, output, outcomes.append, **where)
    return outcomes


def command(output, world, *options, **environment):
    arguments = [sys.executable, "-m", "catran_causalbench", "sweep", output, world, "--edges", "30", *options]
    return subprocess.Popen(
        list(map(str, arguments)),
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=os.environ | environment,
    )


def wait_for(condition, process):
    limit = time.monotonic() + 60
    while not condition():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < limit
        time.sleep(0.05)


def times(output):
    return {path.parent.name: path.stat().st_mtime_ns for path in output.rglob("details.json")}


def same(one, other):
    """Compare nested metrics; the harness sums means in an order that changes with the hash seed."""
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return one == pytest.approx(other, rel=1e-9, nan_ok=True)


def test_a_plan_lists_distinct_runs(world):
    wanted = plan(world, [*QUICK, "random"], regimes=REGIMES, seeds=[0, 1, 1])
    runs = wanted.runs()
    assert len(runs) == len({run.folder for run in runs}) == 2 * 2 * (1 + 2 + 1)
    assert {(run.regime, run.fraction) for run in runs} == {
        ("observational", 0),
        ("partial_interventional", 0.5),
        ("partial_interventional", 1),
        ("interventional", 1),
    }
    assert runs[0].folder == Path("world/random-observational-seed0")
    assert plan(world).runs()[0].folder == Path("world/random-partial_interventional-0.5-seed0")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"methods": ["rondam"]}, "methods: found 'rondam'"),
        ({"methods": "random"}, "methods: found 'random'"),
        ({"methods": []}, r"methods: found \[\]"),
        ({"methods": ["absent.yaml"]}, "config: found"),
        ({"methods": ["mine/fast-preview.yaml"]}, "named like a preset; expected another name"),
        ({"regimes": ["partial"]}, "regimes: found 'partial'"),
        ({"fractions": [0.5, 1.5]}, "fractions: found 1.5"),
        ({"fractions": ["half"]}, "fractions: found 'half'"),
        ({"seeds": [-1]}, "seeds: found -1"),
        ({"data": [Path("nowhere")]}, r"data: found no dataset_rpe1\.npz"),
        ({"rules": EvaluationProtocol(edges=132)}, "edges: found 132 for the 12 genes"),
    ],
)
def test_a_plan_that_cannot_be_run_is_refused(world, changes, message):
    with pytest.raises(InputError, match=message):
        plan(world, **changes)


@pytest.mark.parametrize("rules", [{"edges": 0}, {"max_path_length": -2}, {"dataset_name": "rpe1"}, {"do_filter": 1}])
def test_rules_that_cannot_be_used_are_refused(rules):
    with pytest.raises(InputError, match=f"{next(iter(rules))}: found"):
        EvaluationProtocol(**rules)


def test_directories_of_one_name_are_refused(world, tmp_path):
    (tmp_path / "world").symlink_to(world)
    assert len(plan(world, data=[world, tmp_path / "world"]).data) == 1, "a link is the same directory"
    other = write_simulated_directory(tmp_path / "other" / "world", SETTINGS, 1)
    with pytest.raises(InputError, match="another 'world'"):
        plan(world, data=[world, other])
    (tmp_path / "other-world").symlink_to(other)
    runs = plan(world, ["random"], data=[world, tmp_path / "other-world", other], fractions=[1]).runs()
    assert [run.folder.parent.name for run in runs] == ["world", "other-world"], "links are called as the user does"
    assert plan(other / "..", ["random"], data=[other / ".." / "world"]).data == (other,)


def test_an_incomplete_directory_is_refused_and_nothing_downloaded(world, tmp_path):
    folder = write_simulated_directory(tmp_path / "partly", SETTINGS, 0)
    (folder / "human_lr_pair.txt").unlink()
    with pytest.raises(InputError, match=r"human_lr_pair\.txt"):
        plan(folder)
    with pytest.raises(InputError, match=r"human_lr_pair\.txt"):
        BenchmarkDataset.read(folder, DatasetSpec())


def test_a_plan_from_yaml(world, tmp_path):
    (tmp_path / "mine.yaml").write_text("output: {edges: 7}\n")
    path = tmp_path / "plan.yaml"
    path.write_text(
        f"methods: [random, mine.yaml]\ndata: [{os.path.relpath(world, tmp_path)}]\nseeds: [3]\nedges: 30\n"
    )
    read = SweepPlan.from_yaml(path, {"fractions": [0.5]})
    assert [run.folder.name for run in read.runs()] == [
        "random-partial_interventional-0.5-seed3",
        "catran-mine-partial_interventional-0.5-seed3",
    ]
    assert read.rules == EvaluationProtocol(edges=30)
    assert read.identity["settings of catran-mine"]
    with pytest.raises(InputError, match="unknown key 'method'"):
        SweepPlan.from_yaml(path, {"method": "random"})


@pytest.mark.parametrize("regime", REGIMES)
def test_training_cells_are_the_harness_s(world, regime):
    from causalscbench.data_access.utils.splitting import DatasetSplitter

    theirs = DatasetSplitter(str(world / "dataset_rpe1.npz"))
    matrix, labels, genes = {
        "observational": theirs.get_observational,
        "partial_interventional": lambda: theirs.get_partial_interventional(0.5, 3),
        "interventional": theirs.get_interventional,
    }[regime]()
    ours = BenchmarkDataset.read(world, DatasetSpec()).training_cells(regime, 0.5, 3)
    np.testing.assert_array_equal(ours[0], matrix)
    assert ours[1:] == (list(labels), genes)


@pytest.mark.parametrize(
    ("method", "regime"), [("quick.yaml", "partial_interventional"), ("correlation", "observational")]
)
def test_a_run_is_what_causalbench_run_writes(world, tmp_path, monkeypatch, method, regime):
    """Run the whole harness in this process, with the plugin, and compare with a run of a sweep."""
    (tmp_path / "quick.yaml").write_text("evidence: {steps: 3, gates: 1, gates_kept: 1}\noutput: {edges: 30}\n")
    method = check_method(str(tmp_path / method)) if method.endswith("yaml") else method
    run = Run(method, world, regime, 0.5 if regime == "partial_interventional" else 0.0, 1)
    assert not execute(run, RULES, tmp_path).error
    ours = tmp_path / run.folder

    warnings.simplefilter("ignore")
    import importlib.util  # noqa: F401  the harness uses it without importing it

    from causalscbench.apps.main_app import MainApp
    from causalscbench.models.training_regimes import TrainingRegime

    monkeypatch.setenv("CATRAN_CONFIG", str(tmp_path / "quick.yaml"))
    monkeypatch.setenv("CATRAN_RIVAL", method)
    our_arguments = json.loads((ours / "arguments.json").read_text())
    MainApp(
        output_directory=str(tmp_path / "theirs"),
        data_directory=str(world),
        model_name="custom",
        inference_function_file_path=our_arguments["inference_function_file_path"],
        dataset_name="weissmann_rpe1",
        model_seed=1,
        training_regime=TrainingRegime(regime),
        partial_intervention_seed=1,
        fraction_partial_intervention=0.5 if regime == "partial_interventional" else 1.0,
        exp_id=run.name,
        max_path_length=1,
        omission_estimation_size=40,
    ).run()
    theirs = tmp_path / "theirs" / run.name

    assert (theirs / "output_network.csv").read_bytes() == (ours / "output_network.csv").read_bytes()
    their_arguments = json.loads((theirs / "arguments.json").read_text())
    assert our_arguments == {**their_arguments, "model_name": label(method)}
    assert list(our_arguments) == list(their_arguments)
    metrics = [json.loads((folder / "metrics.json").read_text()) for folder in (ours, theirs)]
    for each in metrics:
        assert each["string_network_evaluation"]["true_positives"] > 0
        assert each["pooled_biological_sigificant_evaluation"]["true_positives"] > 0
        each["run_time"] = 0
    assert same(*metrics)


def test_the_record_says_what_is_true(world, tmp_path):
    run = Run("mean_difference", world, "interventional", 1.0, 0)
    execute(run, RULES, tmp_path)
    record = RunResult.read(tmp_path / run.folder)
    edges = pd.read_csv(tmp_path / run.folder / "output_network.csv", index_col=0)
    true_network = pd.read_csv(world / "true_network.csv")
    true = set(zip(true_network["source"], true_network["target"], strict=True))
    hits = [edge in true for edge in edges.itertuples(index=False, name=None)]
    assert record.truth.precision.value[-1] == pytest.approx(np.mean(hits))
    assert record.truth.recall.value[-1] == pytest.approx(sum(hits) / len(true))
    assert record.truth.precision.edges[-1] == record.wasserstein.edges[-1] == record.num_edges == 30
    assert record.wasserstein.value[-1] == pytest.approx(record.mean_wasserstein)
    assert 0 < record.truth.captured <= 1
    assert record.truth.ancestor_precision >= record.truth.precision.value[-1]
    assert record.simulated
    assert record.headline.startswith("SIMULATED")
    assert "corum" in record.references
    assert record.peak_megabytes >= 1
    assert record.machine["cores"] >= 1


def test_memory_is_what_a_block_takes_at_its_peak():
    with PeakMemory() as memory:
        taken = np.ones(10_000_000)
        time.sleep(0.1)
        del taken
    assert memory.peak_megabytes == pytest.approx(80, abs=15)


def test_cores_are_counted_where_processes_cannot_be_bound_to_them(monkeypatch):
    """As on macOS."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    for name in ("os.sched_getaffinity", "psutil.Process.cpu_affinity"):
        monkeypatch.delattr(name, raising=False)
    assert describe_machine()["cores"] == os.cpu_count()


def test_the_oracle_captures_all(world, tmp_path):
    execute(Run("oracle", world, "interventional", 1.0, 0), RULES, tmp_path)
    assert read_sweep(tmp_path)[0][1].truth.captured == pytest.approx(1)


@pytest.mark.parametrize(("asked", "drawn"), [(10_000, 132 - 30), (0, 0)])
def test_omissions_are_those_there_are(world, tmp_path, asked, drawn):
    run = Run("mean_difference", world, "interventional", 1.0, 0)
    assert not execute(run, EvaluationProtocol(edges=30, omission_estimation_size=asked), tmp_path).error
    arguments = json.loads((tmp_path / run.folder / "arguments.json").read_text())
    assert arguments["omission_estimation_size"] == drawn
    rate = RunResult.read(tmp_path / run.folder).false_omission_rate
    if drawn:
        edges = pd.read_csv(tmp_path / run.folder / "output_network.csv", index_col=0)
        held_out = BenchmarkDataset.read(world, DatasetSpec()).held_out
        pairs = list(edges.itertuples(index=False, name=None))
        assert rate == pytest.approx(false_omission_rate(held_out, pairs, max_path_length=1).rate)
    else:
        assert np.isnan(rate)


def test_what_is_done_is_skipped_when_the_plan_grows(world, tmp_path, threads):
    assert len(sweep(plan(world), tmp_path, scheduler=threads)) == 4
    before = times(tmp_path)
    assert sweep(plan(world), tmp_path, scheduler=threads) == []
    grown = sweep(plan(world, seeds=[0, 1]), tmp_path, scheduler=threads)
    assert {outcome.run.seed for outcome in grown} == {1}
    assert before.items() <= times(tmp_path).items()
    assert len(read_sweep(tmp_path)) == 8
    with pytest.raises(InputError, match=r"^omission_estimation_size: found 41, where the runs .* have 40"):
        sweep(plan(world, rules=EvaluationProtocol(edges=30, omission_estimation_size=41)), tmp_path, scheduler=threads)


def test_other_cells_under_the_same_name_are_refused(tmp_path, threads):
    folder = write_simulated_directory(tmp_path / "world", SETTINGS, 0)
    sweep(plan(folder, ["random"]), tmp_path / "out", scheduler=threads)
    write_simulated_directory(folder, SETTINGS, 1, overwrite=True)
    with pytest.raises(InputError, match="cells of world: found"):
        sweep(plan(folder, ["random"]), tmp_path / "out", scheduler=threads)


@pytest.mark.parametrize("name", ["corum_complexes.txt.zip", "human_lr_pair.txt", "rpe1.h5ad", "true_effects.npz"])
def test_other_references_or_truth_are_refused(world, tmp_path, threads, monkeypatch, name):
    copy = shutil.copytree(world, tmp_path / "world")
    sweep(plan(copy, ["random"]), tmp_path / "out", scheduler=threads)
    content = bytearray((copy / name).read_bytes())
    content[-1] ^= 1
    (copy / name).unlink()  # the expression files are one
    (copy / name).write_bytes(content)
    monkeypatch.setattr("catran_causalbench.sweep.plan.SweepPlan._check_data", lambda *_: None)  # it may be broken
    with pytest.raises(InputError, match="references and truth of world: found"):
        sweep(plan(copy, ["random"]), tmp_path / "out", scheduler=threads)


def test_a_failed_run_stops_no_other_and_is_tried_again(world, tmp_path, threads, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setitem(rivals._HOMES, "random", "broken")
        outcomes = sweep(plan(world), tmp_path, scheduler=threads)
    assert [bool(outcome.error) for outcome in outcomes] == [True, True, False, False]
    failed = tmp_path / outcomes[0].run.folder
    failure = json.loads((failed / FAILURE).read_text())
    assert failure["type"] == "ModuleNotFoundError"
    assert "rival_scores" in failure["traceback"]
    assert len(read_sweep(tmp_path)) == 2

    before = times(tmp_path)
    assert pending(plan(world), tmp_path) == [outcome.run for outcome in outcomes[:2]]
    assert not any(outcome.error for outcome in sweep(plan(world), tmp_path, scheduler=threads))
    assert not (failed / FAILURE).exists()
    assert before.items() <= times(tmp_path).items()
    assert len(times(tmp_path)) == 4


def test_a_run_whose_workers_died_counts_as_failed(world, tmp_path):
    class Future:
        def result(self):
            raise KilledWorker("the run", SimpleNamespace(address="tcp://gone"), 3)

    run = plan(world).runs()[0]
    assert "KilledWorker" in _outcome(Future(), run, tmp_path).error
    assert json.loads((tmp_path / run.folder / FAILURE).read_text())["type"] == "KilledWorker"
    assert not execute(run, RULES, tmp_path).error
    assert _outcome(Future(), run, tmp_path).error
    assert not (tmp_path / run.folder / FAILURE).exists(), "what is done stays done"


def test_shorter_training_of_rivals_does_not_mix(world, tmp_path, threads, monkeypatch):
    sweep(plan(world, ["random"]), tmp_path, scheduler=threads)
    monkeypatch.setenv("CATRAN_RIVAL_TRAINING", "1.0")
    assert not sweep(plan(world, ["random"], rules=replace(RULES, dcdi_training_share=1)), tmp_path, scheduler=threads)
    monkeypatch.setenv("CATRAN_RIVAL_TRAINING", "0.1")
    with pytest.raises(InputError, match=r"dcdi_training_share: found 0\.1, where the runs in .* have 1;"):
        sweep(plan(world, ["random"], rules=EvaluationProtocol(30, 1, 40)), tmp_path, scheduler=threads)
    monkeypatch.setenv("CATRAN_RIVAL_TRAINING", "half")
    with pytest.raises(InputError, match="CATRAN_RIVAL_TRAINING: found 'half'"):
        EvaluationProtocol()


def test_workers_train_rivals_as_long_as_the_sweep_says(world, tmp_path, monkeypatch):
    monkeypatch.setenv("CATRAN_RIVAL_TRAINING", "0.5")
    execute(plan(world).runs()[0], replace(RULES, dcdi_training_share=0.25), tmp_path)
    assert os.environ["CATRAN_RIVAL_TRAINING"] == "0.25"


def test_runs_of_other_code_or_settings_do_not_mix(world, tmp_path, threads, monkeypatch):
    sweep(plan(world, ["random"]), tmp_path, scheduler=threads)
    monkeypatch.setattr("catran_causalbench.sweep.plan.code_version", lambda: "0.1.0+other")
    with pytest.raises(InputError, match=r"code: found '0\.1\.0\+other', where the runs in"):
        sweep(plan(world, ["random"]), tmp_path, scheduler=threads)
    monkeypatch.undo()
    monkeypatch.setattr("catran_causalbench.sweep.worker.code_version", lambda: "0.1.0+other")
    with pytest.raises(InputError, match=r"scheduler: found a worker with code 0\.1\.0\+other; expected"):
        sweep(plan(world, ["random"], seeds=[7]), tmp_path, scheduler=threads)
    assert not list(tmp_path.rglob(FAILURE))
    digests = {settings_digest(method) for method in ("catran", "catran-paper", "catran-demo", "random")}
    assert "" in digests
    assert len(digests) == 4
    monkeypatch.setenv("CATRAN_RUN_DIRECTORY", "elsewhere")  # of no account here: a sweep keeps its own folders
    assert settings_digest("catran") == settings_digest("catran-evidence") in digests


def test_the_version_of_the_code_changes_with_the_code(tmp_path, monkeypatch):
    versions = set()
    monkeypatch.setattr("catran_causalbench.utils.fingerprint.__file__", str(tmp_path / "code_version.py"))
    for content in ("a = 1", "a = 1", "a = 2"):
        (tmp_path / "module.py").write_text(content)
        versions.add(code_version.__wrapped__())
    assert len(versions) == 2


def test_a_long_lived_worker_sees_that_a_directory_was_replaced(tmp_path):
    run = plan(write_simulated_directory(tmp_path / "world", SETTINGS, 0)).runs()[0]
    before = execute(run, RULES, tmp_path / "first").mean_wasserstein
    write_simulated_directory(tmp_path / "world", SETTINGS, 1, overwrite=True)
    assert execute(run, RULES, tmp_path / "second").mean_wasserstein != before
    pairs = (tmp_path / "world" / "true_network.csv").read_text().splitlines()
    (tmp_path / "world" / "true_network.csv").write_text("\n".join(pairs[:2]) + "\n")
    execute(run, RULES, tmp_path / "third")
    before, after = (RunResult.read(tmp_path / start / run.folder).truth.recall for start in ("second", "third"))
    assert before != after


@pytest.mark.parametrize(
    "content", ["", "{}", "{", "[]", {"seconds": "x"}, {"num_edges": True}, {"wasserstein": {"edges": 1, "value": []}}]
)
def test_a_run_whose_record_was_lost_is_done_again(world, tmp_path, content):
    run = plan(world).runs()[0]
    execute(run, RULES, tmp_path)
    path = tmp_path / run.folder / "details.json"
    path.write_text(content if isinstance(content, str) else json.dumps(json.loads(path.read_text()) | content))
    assert pending(plan(world), tmp_path) == plan(world).runs()
    assert not execute(run, RULES, tmp_path).error
    assert run not in pending(plan(world), tmp_path)


def test_one_sweep_at_a_time(world, tmp_path):
    with lock_directory(tmp_path, "output", "sweep"), pytest.raises(InputError, match="another sweep"):
        run_sweep(plan(world), tmp_path, print)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("thesis.txt", "mine", "with other files in it"),
        ("sweep.json", "{", "no readable JSON"),
        ("sweep.json", '["edges"]', "list in JSON"),
    ],
)
def test_a_foreign_folder_is_refused(world, tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=message):
        run_sweep(plan(world), tmp_path, print)


def test_runs_never_share_a_process(world, tmp_path, threads, monkeypatch):
    """Neither where threads would, nor does the driver ask for more than one run of a worker with many threads."""
    inside, together = [], []

    def slow(*_):
        inside.append("a run")
        together.append(len(inside))
        time.sleep(0.05)
        inside.pop()
        return SimpleNamespace(seconds=0.05, mean_wasserstein=0.1)

    monkeypatch.setattr("catran_causalbench.sweep.worker._run", slow)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda run: execute(run, RULES, tmp_path), plan(world).runs()))
    monkeypatch.setattr("catran_causalbench.sweep.worker._ONE_AT_A_TIME", nullcontext())
    sweep(plan(world), tmp_path, scheduler=threads)
    assert together == [1] * 8


def test_nobody_at_the_scheduler_s_address(world, tmp_path):
    with pytest.raises(InputError, match="scheduler: found nobody"):
        run_sweep(plan(world), tmp_path, print, scheduler="carrier-pigeon://1")


def test_a_scheduler_without_workers(world, tmp_path, monkeypatch):
    monkeypatch.setattr("catran_causalbench.sweep.dask_cluster._SECONDS_FOR_A_WORKER", 0.2)
    with in_this_process(0) as cluster, pytest.raises(InputError, match="scheduler: found no worker at"):
        run_sweep(plan(world), tmp_path, print, scheduler=cluster.scheduler_address)


def test_a_scheduler_has_its_own_workers(world, tmp_path):
    with pytest.raises(InputError, match="workers: found 2 beside a scheduler"):
        run_sweep(plan(world), tmp_path, print, workers=2, scheduler="tcp://10.0.0.1:8786")


def test_a_scheduler_that_goes_away(world, tmp_path, monkeypatch):
    monkeypatch.setattr("catran_causalbench.sweep.dask_cluster._SECONDS_TO_ANSWER", 1)
    with in_this_process() as cluster, pytest.raises(InputError, match="went away; expected it to stay; the same"):
        run_sweep(plan(world), tmp_path, lambda _: cluster.close(), scheduler=cluster.scheduler_address)
    assert len(pending(plan(world), tmp_path)) < 4
    assert not list(tmp_path.rglob(FAILURE))


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="needs POSIX signals")
def test_killed_workers_and_drivers_lose_nothing(world, tmp_path):
    """Kill the driver, look that its workers follow, start again, kill a worker, and get every run once."""
    options = ("--methods", "random,mean_difference", "--seeds", "0,1,2,3,4,5,6,7", "--workers", "2")
    driver = command(tmp_path / "out", world, *options)
    wait_for(lambda: times(tmp_path), driver)
    workers = psutil.Process(driver.pid).children(recursive=True)
    driver.kill()
    driver.wait()
    gone, alive = psutil.wait_procs(workers, timeout=10)
    assert gone
    assert not alive
    before = times(tmp_path)
    assert 0 < len(before) < 64

    driver = command(tmp_path / "out", world, *options)
    wait_for(lambda: len(times(tmp_path)) > len(before), driver)
    victims = [child for child in psutil.Process(driver.pid).children() if "spawn_main" in " ".join(child.cmdline())]
    os.kill(victims[0].pid, signal.SIGKILL)
    _, said = driver.communicate(timeout=100)
    assert driver.returncode == 0, said
    assert before.items() <= times(tmp_path).items()
    assert len(read_sweep(tmp_path)) == 64
    assert "64 done · 0 failed · 0 left" in said
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["sweep.json", "world"]
    assert not list(tmp_path.rglob(".unfinished-*"))


@pytest.mark.parametrize(("kind", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_sweep_leaves_its_results_only(world, tmp_path, kind, code):
    """By Ctrl-C, or by a scheduler or container that ends it."""
    (tmp_path / "temporary").mkdir()
    options = ("--methods", "random,mean_difference", "--seeds", "0,1,2,3,4,5,6,7", "--workers", "2")
    driver = command(tmp_path / "out", world, *options, TMPDIR=str(tmp_path / "temporary"))
    wait_for(lambda: times(tmp_path), driver)
    workers = psutil.Process(driver.pid).children(recursive=True)
    driver.send_signal(kind)
    driver.communicate(timeout=30)
    assert driver.returncode == code
    assert psutil.wait_procs(workers, timeout=10)[1] == []
    assert not list((tmp_path / "temporary").iterdir())
    assert not list(tmp_path.rglob(".unfinished-*"))
    assert times(tmp_path)


def test_evaluate_says_what_a_run_says(world, tmp_path):
    run = Run("mean_difference", world, "interventional", 1.0, 0)
    execute(run, RULES, tmp_path)
    network = tmp_path / run.folder / "output_network.csv"
    options = ["--omission-estimation-size", "40"]
    result = CliRunner().invoke(app, ["evaluate", str(world), str(network), *options, "--json"])
    assert result.exit_code == 0, result.output
    scores, record = json.loads(result.output), RunResult.read(tmp_path / run.folder)
    assert scores["mean_wasserstein"] == record.mean_wasserstein
    assert scores["truth"]["captured"] == record.truth.captured
    metrics = json.loads((tmp_path / run.folder / "metrics.json").read_text())
    metrics.pop("run_time")
    assert scores["metrics"] == metrics

    table = pd.read_csv(network, index_col=0).set_axis(["source", "target"], axis=1)
    table.to_csv(tmp_path / "edges.csv", index=False)
    text = CliRunner().invoke(app, ["evaluate", str(world), str(tmp_path / "edges.csv")]).output
    assert "SIMULATED" in text
    assert f"{record.mean_wasserstein:.4f}" in text
    table.replace(table["source"][0], "elsewhere").to_csv(tmp_path / "wrong.csv")
    result = CliRunner().invoke(app, ["evaluate", str(world), str(tmp_path / "wrong.csv")])
    assert result.exit_code == 2
    assert "unknown" in result.output or "'elsewhere'" in result.output


def test_a_headline_may_hold_brackets(tmp_path):
    folder = write_simulated_directory(tmp_path / "world", SETTINGS, 0)
    described = json.loads((folder / "description.json").read_text())
    (folder / "description.json").write_text(json.dumps({**described, "title": "SIMULATED [/x]"}))
    result = CliRunner().invoke(app, ["evaluate", str(folder), str(folder / "true_network.csv")])
    assert "SIMULATED [/x]" in result.output


def test_a_sweep_that_failed_ends_with_1(world, tmp_path):
    constant = write_simulated_directory(tmp_path / "constant", SETTINGS, 0)
    with np.load(constant / "dataset_rpe1.npz") as arrays:
        values = dict(arrays)
    values["expression_matrix"][values["interventions"] == "non-targeting", 0] = 1  # nothing to learn from controls
    np.savez(constant / "dataset_rpe1.npz", **values)
    arguments = ["sweep", tmp_path / "out", constant, "--methods", "random", "--regimes"]
    arguments = [str(part) for part in [*arguments, "observational,interventional", "--edges", 30, "--workers", 1]]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 1, result.output
    assert "failed constant/random-observational-seed0: InputError" in result.output
    assert "1 done · 1 failed · 0 left" in result.output
