"""Whole sweeps: what is skipped, what is refused, and the consequences of failures and dead workers."""

import json
import shutil
from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace

import dask
import pytest
from distributed import KilledWorker

from catran_causalbench.errors import InputError
from catran_causalbench.sweep import runner, worker
from catran_causalbench.sweep.records import FAILURE, read_sweep
from catran_causalbench.sweep.runner import pending, run_sweep
from catran_causalbench.sweep.worker import execute
from catran_causalbench.utils.locking import lock_directory


def times(output):
    return {path.parent.name: path.stat().st_mtime_ns for path in output.rglob("details.json")}


def test_what_is_done_is_skipped_when_the_plan_grows(make_plan, protocol, sweep, tmp_path):
    assert len(sweep(make_plan(), tmp_path)) == 4
    before = times(tmp_path)
    assert sweep(make_plan(), tmp_path) == []
    grown = sweep(make_plan(seeds=[0, 1]), tmp_path)
    assert {run.spec.seed for run in grown} == {1}
    assert before.items() <= times(tmp_path).items()
    assert len(read_sweep(tmp_path)) == 8
    with pytest.raises(InputError, match=r"^omission_estimation_size: found 41, where the runs .* have 40"):
        sweep(make_plan(protocol=replace(protocol, omission_estimation_size=41)), tmp_path)


def test_other_cells_under_the_same_name_are_refused(make_plan, simulate, sweep, tmp_path):
    directory = simulate(tmp_path / "simulated")
    sweep(make_plan(["random"], data=[directory]), tmp_path / "out")
    simulate(directory, seed=1, overwrite=True)
    with pytest.raises(InputError, match="cells of simulated: found"):
        sweep(make_plan(["random"], data=[directory]), tmp_path / "out")


@pytest.mark.parametrize("name", ["corum_complexes.txt.zip", "human_lr_pair.txt", "rpe1.h5ad", "true_effects.npz"])
def test_other_references_or_truth_are_refused(make_plan, directory, sweep, tmp_path, monkeypatch, name):
    copy = shutil.copytree(directory, tmp_path / "simulated")
    sweep(make_plan(["random"], data=[copy]), tmp_path / "out")
    content = bytearray((copy / name).read_bytes())
    content[-1] ^= 1
    (copy / name).unlink()  # the expression files are one
    (copy / name).write_bytes(content)
    # The plan would refuse a damaged file, which is tested elsewhere.
    monkeypatch.setattr("catran_causalbench.causalbench.dataset_spec.check_data_directory", lambda _: [])
    with pytest.raises(InputError, match="references and truth of simulated: found"):
        sweep(make_plan(["random"], data=[copy]), tmp_path / "out")


def test_a_failed_run_stops_no_other_and_is_tried_again(make_plan, sweep, tmp_path, monkeypatch):
    scored = worker.score_edges

    def broken(*arguments, **options):
        if len(attempts) < 2:
            attempts.append(arguments)
            raise ZeroDivisionError
        return scored(*arguments, **options)

    attempts = []
    with monkeypatch.context() as patch:
        patch.setattr(worker, "score_edges", broken)
        runs = sweep(make_plan(), tmp_path)
    assert [bool(run.error) for run in runs] == [True, True, False, False]
    assert len(read_sweep(tmp_path)) == 2
    before = times(tmp_path)
    assert pending(make_plan(), tmp_path) == [run.spec for run in runs[:2]]
    assert not any(run.error for run in sweep(make_plan(), tmp_path))
    assert not (tmp_path / runs[0].spec.directory / FAILURE).exists()
    assert before.items() <= times(tmp_path).items()
    assert len(times(tmp_path)) == 4


def test_a_run_whose_workers_died_counts_as_failed(make_plan, protocol, tmp_path):
    class Future:
        def result(self):
            raise KilledWorker("the run", SimpleNamespace(address="tcp://gone"), 3)

    spec = make_plan().runs()[0]
    assert "KilledWorker" in runner._finished_run(Future(), spec, tmp_path).error
    assert json.loads((tmp_path / spec.directory / FAILURE).read_text())["type"] == "KilledWorker"
    assert not execute(spec, protocol, tmp_path).error
    assert runner._finished_run(Future(), spec, tmp_path).error
    assert not (tmp_path / spec.directory / FAILURE).exists(), "what is done stays done"


def test_another_share_of_dcdi_s_training_does_not_mix(make_plan, protocol, sweep, tmp_path):
    sweep(make_plan(["random"]), tmp_path)
    assert not sweep(make_plan(["random"], protocol=replace(protocol, dcdi_training_share=1)), tmp_path)
    with pytest.raises(InputError, match=r"dcdi_training_share: found 0\.1, where the runs in .* have 1"):
        sweep(make_plan(["random"], protocol=replace(protocol, dcdi_training_share=0.1)), tmp_path)


@pytest.mark.guarantee(
    "Determinism",
    "Runs of one sweep, and of sweeps reported together, have the same code, cells, reference "
    "networks, true network and settings of a method; others are refused.",
)
def test_runs_of_other_code_do_not_mix(make_plan, sweep, tmp_path, monkeypatch):
    sweep(make_plan(["random"]), tmp_path)
    monkeypatch.setattr("catran_causalbench.sweep.plan.code_version", lambda: "0.1.0+other")
    with pytest.raises(InputError, match=r"code: found '0\.1\.0\+other', where the runs in"):
        sweep(make_plan(["random"]), tmp_path)
    monkeypatch.undo()
    monkeypatch.setattr("catran_causalbench.sweep.worker.code_version", lambda: "0.1.0+other")
    with pytest.raises(InputError, match=r"scheduler: found a worker with code 0\.1\.0\+other"):
        sweep(make_plan(["random"], seeds=[7]), tmp_path)
    assert not list(tmp_path.rglob(FAILURE))


@pytest.mark.guarantee(
    "Faults", "One process at a time writes to the directory of a run, of a sweep, of a download or of a preparation."
)
def test_one_sweep_at_a_time(make_plan, tmp_path):
    with lock_directory(tmp_path, "output", "sweep"), pytest.raises(InputError, match="another sweep"):
        run_sweep(make_plan(), tmp_path, print)


def test_a_worker_with_many_threads_gets_one_run_at_a_time(make_plan, sweep, runs_at_once, tmp_path, monkeypatch):
    monkeypatch.setattr(worker, "_ONE_AT_A_TIME", nullcontext())
    sweep(make_plan(), tmp_path)
    assert runs_at_once == [1] * 4


def test_an_address_that_does_not_answer(make_plan, tmp_path):
    with pytest.raises(InputError, match="scheduler: found no answer from"):
        run_sweep(make_plan(), tmp_path, print, scheduler="carrier-pigeon://1")
    assert dask.config.get("scheduler", None) is None, (
        "other computations of the process do not use a sweep's scheduler"
    )


def test_a_scheduler_without_workers(make_plan, cluster, tmp_path, monkeypatch):
    monkeypatch.setattr("catran_causalbench.sweep.dask_cluster._SECONDS_FOR_A_WORKER", 0.2)
    with cluster(workers=0) as empty, pytest.raises(InputError, match="scheduler: found no worker at"):
        run_sweep(make_plan(), tmp_path, print, scheduler=empty.scheduler_address)


def test_a_scheduler_has_its_own_workers(make_plan, tmp_path):
    with pytest.raises(InputError, match="workers: found 2 beside a scheduler"):
        run_sweep(make_plan(), tmp_path, print, workers=2, scheduler="tcp://10.0.0.1:8786")


def test_a_scheduler_that_goes_away(make_plan, cluster, tmp_path, monkeypatch):
    monkeypatch.setattr("catran_causalbench.sweep.dask_cluster._SECONDS_TO_ANSWER", 1)
    with cluster() as leaving, pytest.raises(InputError, match=r"scheduler: found that .* went away"):
        run_sweep(make_plan(), tmp_path, lambda _: leaving.close(), scheduler=leaving.scheduler_address)
    assert len(pending(make_plan(), tmp_path)) < 4
    assert not list(tmp_path.rglob(FAILURE))
