"""Whatever happens to a run, it ends in a clear error and can be continued to the very same edges."""

import errno
import fcntl
import logging
import multiprocessing
import multiprocessing.forkserver as forkserver
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from fault_worker import CONFIGS, run, run_and_die
from helpers import PYTHONPATH, FullAfter, random_data

from catran_causalbench import CatranConfig, InputError, TrainingError, infer_network, load_config, validate_dataset
from catran_causalbench.causalbench.build.from_screen import convert_screen
from catran_causalbench.config import EvidenceSettings
from catran_causalbench.models.catran.dataloader import MinibatchLoader
from catran_causalbench.models.catran.training_plan import CatranTrainingPlan
from catran_causalbench.models.evidence.training_plan import EvidenceTrainingPlan
from catran_causalbench.training.run_directory import RunDirectory
from catran_causalbench.utils.locking import lock_directory

BOTH = pytest.mark.parametrize("name", list(CONFIGS))
KILLS = int(os.environ.get("CATRAN_KILLS", "8"))  # by preset
WHOLE = {"config.yaml", "edges.csv", "last.ckpt", "logs", "run_identity.txt"}


@pytest.fixture(scope="module")
def processes():
    """Processes that fork from one with everything loaded, so that starting one takes no time."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["fault_worker"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", PYTHONPATH, prepend=os.pathsep)  # Python 3.11 does not hand it on
        forkserver.ensure_running()
    return context


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, processes):
    """The edges of runs that nothing happened to, by preset, and the seconds that they took."""
    edges = {}
    for name in CONFIGS:
        for _ in range(2):  # the first start waits for the fork server
            directory = tmp_path_factory.mktemp(name)
            start = time.perf_counter()
            finish(processes.Process(target=run, args=(name, directory)))
        edges[name] = (directory / "edges.csv").read_bytes(), time.perf_counter() - start
    return edges


def finish(process):
    process.start()
    process.join()
    return process.exitcode


@pytest.mark.guarantee(
    "Faults",
    "A run with a run directory that is killed (`kill -9`) at any moment, again and again, ends in the "
    "same edges as an undisturbed one when it is started again. The model `catran` continues from its "
    "last finished epoch; `evidence` trains for seconds, in one epoch, and starts again unless its gates "
    "were already saved.",
)
@BOTH
def test_runs_killed_at_random_moments_end_in_the_same_edges(tmp_path, processes, undisturbed, name):
    expected, seconds = undisturbed[name]
    rng = np.random.default_rng(time.time_ns())
    kills = runs = 0
    while kills < KILLS or not (tmp_path / str(runs) / "edges.csv").exists():
        directory = tmp_path / str(runs)
        if (directory / "edges.csv").exists():
            runs += 1
            continue
        process = processes.Process(target=run, args=(name, directory))
        process.start()
        process.join(rng.uniform(0, 1.1 * seconds))
        if process.exitcode is None:
            os.kill(process.pid, signal.SIGKILL)
            process.join()
            kills += 1
        else:
            assert process.exitcode == 0
    for number in range(runs + 1):
        assert (tmp_path / str(number) / "edges.csv").read_bytes() == expected
        assert {path.name for path in (tmp_path / str(number)).iterdir()} == WHOLE
    print(f"{name}: {kills} kills, {runs + 1} runs")


@pytest.mark.guarantee(
    "Faults",
    "Files of a run directory are complete: they are written beside their place, flushed to disk and renamed.",
)
@pytest.mark.parametrize("function", ["fsync", "replace"])
@pytest.mark.parametrize("call", [0, 1, 2, 5])
def test_a_run_killed_while_writing_loses_nothing(tmp_path, processes, undisturbed, function, call):
    """Calls 0 and 1 write the mark and the settings, 2 to 9 a checkpoint each."""
    assert finish(processes.Process(target=run_and_die, args=("catran", tmp_path, function, call))) == -9
    assert list(tmp_path.glob(".*.part"))
    assert finish(processes.Process(target=run, args=("catran", tmp_path))) == 0
    assert (tmp_path / "edges.csv").read_bytes() == undisturbed["catran"][0]
    assert {path.name for path in tmp_path.iterdir()} == WHOLE


INTERRUPTED = """
import os, sys, time, typer
sys.path[:0] = {tests!r}.split(os.pathsep)
import fault_worker
from catran_causalbench.models.catran import training_plan
from catran_causalbench.cli.console import command

class Slow(training_plan.CatranTrainingPlan):
    def training_step(self, minibatch, step):
        if self.current_epoch == 3:
            print("in epoch 4", flush=True)
            time.sleep(0.2)
        return super().training_step(minibatch, step)

training_plan.CatranTrainingPlan = Slow
try:
    command(fault_worker.run)("catran", {directory!r})
except typer.Exit as end:  # as typer itself does
    sys.exit(end.exit_code)
"""


@pytest.mark.guarantee(
    "Faults",
    "Ctrl-C ends training before the running epoch is finished, with exit code 130 on the command line, "
    "and says how to continue.",
)
def test_ctrl_c_ends_in_the_epoch_at_work_and_says_how_to_go_on(tmp_path, undisturbed):
    code = INTERRUPTED.format(tests=PYTHONPATH, directory=str(tmp_path))
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "in epoch 4\n"
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors == ("Stopped. To continue from the last finished epoch, start the same run again.\nInterrupted.\n")
    assert whole_checkpoint(tmp_path) == 2, "epoch 4 was not finished"
    assert not (tmp_path / "edges.csv").exists()
    run("catran", tmp_path)
    assert (tmp_path / "edges.csv").read_bytes() == undisturbed["catran"][0]


def whole_checkpoint(directory):
    return torch.load(directory / "last.ckpt", weights_only=True)["epoch"]


@pytest.mark.guarantee(
    "Faults",
    "A disk that becomes full ends training with a `TrainingError` that says how to continue; the last "
    "checkpoint stays.",
)
@pytest.mark.parametrize(("writes", "epoch"), [(2, None), (5, 2), (10, 7)])
def test_a_full_disk_loses_nothing(tmp_path, monkeypatch, undisturbed, writes, epoch):
    with monkeypatch.context() as full:
        full.setattr(os, "fsync", FullAfter(writes))
        with pytest.raises(TrainingError, match=r"No space left on device.*make room, then start the same run again"):
            run("catran", tmp_path)
    assert not list(tmp_path.glob(".*.part"))
    if epoch is None:
        assert not (tmp_path / "last.ckpt").exists()
    else:
        assert whole_checkpoint(tmp_path) == epoch
    run("catran", tmp_path)
    assert (tmp_path / "edges.csv").read_bytes() == undisturbed["catran"][0]


@pytest.mark.guarantee("Faults", "A full or read-only disk is refused before training.")
@BOTH
def test_a_disk_that_is_full_at_the_start_is_refused_before_training(tmp_path, monkeypatch, name):
    monkeypatch.setattr(os, "fsync", FullAfter(0))
    with pytest.raises(InputError, match=r"cannot be written to \(No space left on device\); expected a writable"):
        run(name, tmp_path)
    assert not list(tmp_path.iterdir())


def test_logs_that_cannot_be_written_end_a_run_with_advice(tmp_path, monkeypatch, undisturbed):
    from pytorch_lightning.loggers import CSVLogger

    def full(logger):
        FullAfter(0)(0)

    with monkeypatch.context() as patch:
        patch.setattr(CSVLogger, "save", full)
        with pytest.raises(TrainingError, match="No space left on device"):
            run("catran", tmp_path)
    run("catran", tmp_path)
    assert (tmp_path / "edges.csv").read_bytes() == undisturbed["catran"][0]


@pytest.mark.parametrize("path", ["file/run", "file", "null\0character", "x" * 300])
def test_a_directory_that_cannot_be_written_to_is_refused(tmp_path, path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"output\.run_directory: found .* which cannot be written to"):
        run("evidence", tmp_path / path)


@pytest.mark.parametrize("name", ["run_identity.txt", "last.ckpt"])
def test_garbage_in_the_directory_is_refused_by_name(tmp_path, name):
    run("evidence", tmp_path)
    (tmp_path / name).write_bytes(b"\xff\x00garbage")
    with pytest.raises(InputError, match=r"output\.run_directory: found "):
        run("evidence", tmp_path)
    assert (tmp_path / name).read_bytes() == b"\xff\x00garbage"


@pytest.mark.guarantee(
    "Faults",
    "A damaged or foreign checkpoint is refused with advice and left in place; a flipped bit never changes the edges.",
)
def test_a_damaged_checkpoint_is_refused_with_advice_or_harmless(tmp_path, undisturbed):
    expected = undisturbed["catran"][0]
    run("catran", tmp_path)
    whole = (tmp_path / "last.ckpt").read_bytes()
    rng = np.random.default_rng(0)
    damaged = [whole[:length] for length in (0, 1, 100, len(whole) // 2, len(whole) - 1)]
    for place in rng.integers(len(whole), size=25):
        damaged.append(whole[:place] + bytes([whole[place] ^ (1 << rng.integers(8))]) + whole[place + 1 :])
    refusals = []
    for content in damaged:
        (tmp_path / "last.ckpt").write_bytes(content)
        (tmp_path / "edges.csv").unlink(missing_ok=True)
        try:
            run("catran", tmp_path)
        except InputError as error:
            refusals.append(str(error))
        else:
            assert (tmp_path / "edges.csv").read_bytes() == expected
    assert len(refusals) > 20
    assert all("no checkpoint of this run" in refusal for refusal in refusals)
    assert all("delete the file and start again" in refusal and "\n" not in refusal for refusal in refusals)
    (tmp_path / "last.ckpt").unlink()
    run("catran", tmp_path)
    assert (tmp_path / "edges.csv").read_bytes() == expected


def test_the_checkpoint_of_another_run_is_refused(tmp_path):
    run("catran", tmp_path / "one")
    run("evidence", tmp_path / "other")
    (tmp_path / "one" / "last.ckpt").write_bytes((tmp_path / "other" / "last.ckpt").read_bytes())
    with pytest.raises(InputError, match="it belongs to another run"):
        run("catran", tmp_path / "one")


@pytest.mark.parametrize("kind", ["npz", "h5ad"])
def test_a_truncated_data_file_is_refused_and_nothing_made(tmp_path, kind):
    path = tmp_path / f"screen.{kind}"
    matrix, labels, names = random_data()
    if kind == "npz":
        np.savez(path, expression_matrix=matrix, var_names=names, interventions=labels)
    else:
        import anndata
        import pandas as pd

        obs = pd.DataFrame({"target": labels}, index=[str(cell) for cell in range(len(labels))])
        anndata.AnnData(matrix, obs=obs, var=pd.DataFrame(index=names)).write_h5ad(path)
    whole = path.read_bytes()
    for length in (0, 10, len(whole) // 3, len(whole) - 5):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match="screen"):
            convert_screen(tmp_path / "made", path, perturbation_key="target")
        assert not (tmp_path / "made").exists()


@pytest.mark.guarantee(
    "Faults",
    "A loss or weights that are not finite stop training with epoch, step and advice; the checkpoint of "
    "the last good epoch stays.",
)
def test_a_loss_that_is_no_number_names_epoch_and_step_and_keeps_the_last_good_epoch(tmp_path, monkeypatch):
    step = CatranTrainingPlan.training_step

    def poisoned(self, minibatch, number):
        outputs = step(self, minibatch, number)
        return {**outputs, "loss": outputs["loss"] * (float("nan") if (self.current_epoch, number) == (2, 3) else 1)}

    monkeypatch.setattr(CatranTrainingPlan, "training_step", poisoned)
    with pytest.raises(TrainingError, match=r"loss became nan in epoch 3, step 4 of 6; try a smaller catran\.learn"):
        run("catran", tmp_path)
    assert whole_checkpoint(tmp_path) == 1
    assert not (tmp_path / "edges.csv").exists()


def test_gates_whose_loss_is_no_number_stop_too(data, monkeypatch):
    losses = EvidenceTrainingPlan._losses
    monkeypatch.setattr(EvidenceTrainingPlan, "_losses", lambda self, minibatch: losses(self, minibatch) * float("inf"))
    with pytest.raises(TrainingError, match=r"epoch 1, step 1 of 5; try a smaller evidence\.learning_rate"):
        infer_network(validate_dataset(*data), CatranConfig(evidence=EvidenceSettings(steps=5)))


def test_weights_that_are_no_numbers_stop_training_though_the_loss_was_one(data, monkeypatch):
    def poisoned(self, optimizer):
        self.gates.level.grad[:] = float("nan")

    monkeypatch.setattr(EvidenceTrainingPlan, "on_before_optimizer_step", poisoned)
    with pytest.raises(TrainingError, match="weights are not finite in epoch 1, step 1 of 1"):
        infer_network(validate_dataset(*data), CatranConfig(evidence=EvidenceSettings(steps=1)))


def out_of_memory(method, times):
    """Make a method run out of memory at its third call and at some calls after it."""
    calls = []

    def failing(self, *arguments, **options):
        calls.append(1)
        result = method(self, *arguments, **options)
        if 3 <= len(calls) < 3 + times:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return result

    return failing


MEMORY_HUNGRY = {"training_step": CatranTrainingPlan, "_draw": MinibatchLoader, "backward": CatranTrainingPlan}


@pytest.mark.guarantee(
    "Faults",
    "Where a GPU's memory cannot hold all cells, it gets those of one minibatch at a time: the same "
    "minibatches, and a warning. (The error is raised on purpose, on a CPU; never tried on a GPU.)",
)
@pytest.mark.parametrize("method", MEMORY_HUNGRY)
def test_too_little_memory_is_got_round_with_the_same_edges_and_said(
    tmp_path, monkeypatch, undisturbed, caplog, method
):
    owner = MEMORY_HUNGRY[method]
    monkeypatch.setattr(owner, method, out_of_memory(getattr(owner, method), times=1))
    with caplog.at_level(logging.WARNING):
        run("catran", tmp_path)
    assert (tmp_path / "edges.csv").read_bytes() == undisturbed["catran"][0]
    (record,) = caplog.records
    assert "The device's memory cannot hold all cells" in record.message


@pytest.mark.parametrize("method", MEMORY_HUNGRY)
def test_too_little_memory_for_a_minibatch_ends_with_advice(tmp_path, monkeypatch, method):
    owner = MEMORY_HUNGRY[method]
    monkeypatch.setattr(owner, method, out_of_memory(getattr(owner, method), times=99))
    with pytest.raises(TrainingError, match=r"too little memory .* try a smaller catran\.cells_per_minibatch"):
        run("catran", tmp_path)


@pytest.mark.guarantee(
    "Faults",
    "Several processes end with advice where a GPU's memory is short, since none of them may repeat a step alone.",
)
def test_several_processes_repeat_no_step(tmp_path, monkeypatch):
    """Each would send messages that the others do not expect."""
    monkeypatch.setattr("catran_causalbench.models.catran.training_plan.num_processes", lambda: 2)
    step = CatranTrainingPlan.training_step
    monkeypatch.setattr(CatranTrainingPlan, "training_step", out_of_memory(step, times=1))
    with pytest.raises(TrainingError, match="too little memory"):
        run("catran", tmp_path)


def test_minibatches_are_the_same_once_the_cells_are_off_the_device():
    dataset, settings = validate_dataset(*random_data()), replace(CONFIGS["catran"].catran, genes_per_minibatch=5)

    def loader():
        return MinibatchLoader(dataset, settings, 0, torch.device("cpu"), lambda: 1)

    def run_out_of_memory_once():
        for error in errors:
            raise error

    short, errors = loader(), iter([torch.cuda.OutOfMemoryError()])
    short.with_memory(run_out_of_memory_once)
    for one, other in zip(loader(), short, strict=True):
        torch.testing.assert_close(one.__dict__, other.__dict__, rtol=0, atol=0)


def test_a_run_directory_is_not_changed_by_another_run(tmp_path):
    run("evidence", tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    other = load_config("paper").to_mapping()
    prepared = RunDirectory.prepare(str(tmp_path), other, validate_dataset(*random_data()), 0)
    with pytest.raises(InputError, match="holds a run with other data"), prepared:
        pass
    assert before == {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}


@pytest.mark.guarantee(
    "Faults",
    "One process at a time writes to the directory of a run, of a sweep, of a download or of a preparation.",
)
def test_only_one_run_at_a_time_uses_a_directory(tmp_path):
    with lock_directory(tmp_path / "run", "output.run_directory", "run"):
        with pytest.raises(InputError, match=r"output\.run_directory: found .*/run, to which another run is writing"):
            run("evidence", tmp_path / "run")
        assert not list((tmp_path / "run").iterdir())
    run("evidence", tmp_path / "run")


def test_a_system_without_locks_is_warned_of(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("catran_causalbench.utils.locking.sys.platform", "win32")
    with lock_directory(tmp_path / "run", "output.run_directory", "run"):
        assert "run cannot be locked on this system: let no other run write there" in caplog.text


@pytest.mark.guarantee("Faults", "Where the file system cannot lock directories, a warning says so.")
def test_where_directories_cannot_be_locked_runs_continue_with_a_warning(tmp_path, monkeypatch, caplog):
    """As on NFS, which locks no directory."""

    def refuse(handle, operation):
        raise OSError(errno.EBADF, "Bad file descriptor")

    monkeypatch.setattr(fcntl, "flock", refuse)
    run("evidence", tmp_path)
    assert "cannot be locked (Bad file descriptor): let no other run write there" in caplog.text
    assert (tmp_path / "edges.csv").exists()
