"""Processes that share the minibatches learn what one process learns."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import quick, random_data

from catran_causalbench import InputError, infer_network, validate_dataset
from catran_causalbench.config import OutputSettings
from catran_causalbench.models.catran.training_plan import CatranTrainingPlan
from catran_causalbench.utils.distributed import all_agree

TRAINING = {"epochs": 2, "learning_rate": 0.001, "cells_per_minibatch": 100, "genes_per_minibatch": 10}


def settings(directory):
    return replace(quick(**TRAINING), output=OutputSettings(edges=50, run_directory=str(directory)))


def gradients():
    """Losses and gradients of the first minibatch, and the running statistics that it leaves."""
    plan = CatranTrainingPlan(validate_dataset(*random_data()), quick(**TRAINING).catran, seed=0)
    plan.trainer = type("Trainer", (), {"current_epoch": 0})()
    minibatch = next(iter(plan.train_dataloader()))
    outputs = plan.training_step(minibatch, 0)
    outputs["loss"].backward()
    found = {name: parameter.grad for name, parameter in plan.module.named_parameters()}
    if torch.distributed.is_initialized():
        for gradient in found.values():
            torch.distributed.all_reduce(gradient)
            gradient /= torch.distributed.get_world_size()
    buffers = {name: buffer.double() for name, buffer in plan.module.named_buffers()}
    return {"losses": outputs["terms"], **found, **buffers}


def run_of_a_process(directory):
    """Do what each of several processes does; the first writes what it found."""
    table = infer_network(validate_dataset(*random_data()), settings(directory / "run")).edges()
    rank = torch.distributed.get_rank()  # of the group that Lightning made
    table.to_csv(directory / f"edges-{rank}.csv", index=False)
    torch.save(gradients(), directory / f"gradients-{rank}.pt")
    agreed = [all_agree(value, torch.device("cpu")) for value in (3, 0, rank, -rank)]
    assert agreed == [True, True, False, False]
    torch.distributed.destroy_process_group()


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """What two processes leave."""
    directory = tmp_path_factory.mktemp("together")
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", __file__]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([*launch, directory], env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return directory


@pytest.mark.guarantee(
    "Several processes",
    "Processes that `torchrun` starts share every minibatch: same losses, gradients and running "
    "statistics as one process, up to rounding (two processes with gloo on a CPU).",
)
def test_gradients_moments_and_losses_are_those_of_one_process(together):
    expected = gradients()
    for rank in range(2):
        found = torch.load(together / f"gradients-{rank}.pt", weights_only=True)
        assert found.keys() == expected.keys()
        for name, values in expected.items():
            torch.testing.assert_close(
                found[name], values, rtol=1e-4, atol=1e-6, msg=lambda text, of=name: f"{of}: {text}"
            )


@pytest.mark.guarantee("Several processes", "They end with the edges of one process, up to rounding.")
def test_edges_are_those_of_one_process(together, tmp_path):
    alone = infer_network(validate_dataset(*random_data()), settings(tmp_path)).edges()
    first, second = (pd.read_csv(together / f"edges-{rank}.csv") for rank in range(2))
    pd.testing.assert_frame_equal(first, second)
    np.testing.assert_allclose(first["weight"], alone["weight"], rtol=1e-4)
    ends = ["source", "target"]
    assert len(first[ends].merge(alone[ends])) >= 49


@pytest.mark.guarantee("Several processes", "Only the first of them writes files.")
def test_one_process_writes_the_run_directory(together):
    found = {path.relative_to(together / "run").parts[0] for path in (together / "run").rglob("*")}
    assert found == {"config.yaml", "edges.csv", "last.ckpt", "logs", "run_identity.txt"}
    assert [path.name for path in (together / "run" / "logs").iterdir()] == ["start_0"]


@pytest.mark.guarantee(
    "Several processes",
    "What several processes cannot share is refused before training: the reference implementation, "
    "`shuffle_within_minibatch`, cells that do not divide.",
)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"implementation": "reference"}, "catran.implementation: found 'reference' in 3 processes; expected 'fac"),
        (
            {"masking": "shuffle_within_minibatch"},
            "catran.masking: found 'shuffle_within_minibatch' in 3 processes; expected 'shuffle_within_cell",
        ),
        ({}, "catran.cells_per_minibatch: found minibatches of 100 cells; expected a multiple of the 3 processes"),
    ],
)
def test_what_processes_cannot_share_is_refused(monkeypatch, change, message):
    for name, value in {"TORCHELASTIC_RUN_ID": "x", "WORLD_SIZE": "3", "LOCAL_WORLD_SIZE": "3", "RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=message):
        infer_network(validate_dataset(*random_data()), quick(**TRAINING, **change))


@pytest.mark.guarantee(
    "Several processes",
    "Processes that would continue from different epochs, because their machines share no run directory, "
    "stop before training.",
)
def test_processes_that_would_continue_from_different_epochs_stop(monkeypatch):
    """As they do where every machine has a run directory of its own."""
    monkeypatch.setattr("catran_causalbench.models.catran.training_plan.all_agree", lambda epoch, device: False)
    with pytest.raises(
        InputError, match=r"output\.run_directory: found a checkpoint after epoch 0 that other processes"
    ):
        infer_network(validate_dataset(*random_data()), quick(**TRAINING))


if __name__ == "__main__":
    run_of_a_process(Path(sys.argv[1]))
