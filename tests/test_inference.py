"""From dataset to edges: determinism, invariance, what is written and what is not, and that training works."""

import gc
import itertools
import signal
import sys
import weakref
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import BOTH_MODELS, QUICK, QUICK_EVIDENCE, quick

from catran_causalbench import InputError, TrainingError, infer_network, validate_dataset
from catran_causalbench.config import OutputSettings
from catran_causalbench.models.catran import training_plan


def edges(data, config=QUICK, seed=0):
    table = infer_network(validate_dataset(*data), config, seed).edges(complete=True)
    return list(zip(table["source"], table["target"], strict=True)), table["weight"].to_numpy()


@BOTH_MODELS
def test_same_seed_same_edges_and_another_seed_others(data, config):
    first, weights = edges(data, config)
    again, weights_again = edges(data, config)
    assert first == again
    np.testing.assert_array_equal(weights, weights_again)
    assert edges(data, config, seed=1)[0] != first


@BOTH_MODELS
def test_order_of_genes_and_cells_does_not_matter(data, config):
    matrix, labels, names = data
    rng = np.random.default_rng(5)
    cells, genes = rng.permutation(len(matrix)), rng.permutation(len(names))
    shuffled = matrix[np.ix_(cells, genes)], [labels[cell] for cell in cells], [names[gene] for gene in genes]
    assert edges(shuffled, config)[0] == edges(data, config)[0]


@BOTH_MODELS
def test_exactly_the_asked_number_of_distinct_edges_best_first(data, config):
    found, weights = edges(data, config)
    assert len(found) == len(set(found)) == 50
    assert all(source != target for source, target in found)
    assert (np.diff(weights) <= 0).all()


def test_all_pairs_with_a_warning_where_fewer_exist(data):
    config = replace(QUICK, output=OutputSettings(edges=1000))
    with pytest.warns(UserWarning, match=r"1000 edges were asked for, but there are only 132 pairs"):
        found, _ = edges(data, config)
    assert set(found) == set(itertools.permutations(data[2], 2))


def test_more_genes_than_a_minibatch_holds(data):
    config = quick(genes_per_minibatch=5)
    assert len(edges(data, config)[0]) == 50


@BOTH_MODELS
def test_controls_alone_suffice(data, config):
    dataset = validate_dataset(*data).controls_only()
    assert len(infer_network(dataset, config).edges()) == 50


def test_training_lowers_the_loss_on_predictable_data():
    rng = np.random.default_rng(0)
    factor = rng.gamma(2, 1, (2000, 1))
    matrix = np.log1p(rng.poisson(factor * rng.uniform(0.5, 2, 10)))
    data = matrix, ["non-targeting"] * 2000, [f"g{i}" for i in range(10)]
    losses = infer_network(validate_dataset(*data), quick(epochs=20)).history["loss/masked"]
    assert losses.iloc[-1] < 0.6 * losses.iloc[0]


def test_both_implementations_train_alike(data):
    def losses(implementation):
        # Lion moves by the sign of a gradient, also where it is nothing but rounding: only small steps stay comparable.
        config = quick(implementation=implementation, learning_rate=0.0001)
        return infer_network(validate_dataset(*data), config).history["loss/total"]

    np.testing.assert_allclose(losses("reference"), losses("factored"), rtol=0.01)


@BOTH_MODELS
def test_global_random_states_are_left_alone(data, config):
    torch.manual_seed(7)
    np.random.seed(7)  # noqa: NPY002
    expected = torch.rand(1), np.random.rand()  # noqa: NPY002
    torch.manual_seed(7)
    np.random.seed(7)  # noqa: NPY002
    edges(data, config)
    assert (torch.rand(1), np.random.rand()) == expected  # noqa: NPY002


@BOTH_MODELS
def test_nothing_is_written_without_a_run_directory(data, tmp_path, monkeypatch, config):
    monkeypatch.chdir(tmp_path)
    edges(data, config)
    assert list(tmp_path.iterdir()) == []


@BOTH_MODELS
def test_the_run_directory_holds_settings_logs_checkpoint_and_edges(data, tmp_path, monkeypatch, config):
    monkeypatch.chdir(tmp_path)
    directory = tmp_path / "runs" / "one"
    found, _ = edges(data, replace(config, output=OutputSettings(edges=50, run_directory=str(directory))))
    assert {path.name for path in directory.iterdir()} == {
        "config.yaml", "edges.csv", "last.ckpt", "logs", "run_identity.txt",
    }  # fmt: skip
    table = pd.read_csv(directory / "edges.csv")
    assert list(zip(table["source"], table["target"], strict=True)) == found
    assert list((directory / "logs" / "start_0").glob("events*"))
    assert {path.name for path in tmp_path.iterdir()} == {"runs"}
    again, _ = edges(data, replace(config, output=OutputSettings(edges=50, run_directory=str(directory))))
    assert again == found, "a finished run, started again, gives what it gave"


def in_directory(path, epochs, schedule="constant"):
    return replace(
        quick(epochs=epochs, learning_rate_schedule=schedule), output=OutputSettings(edges=50, run_directory=str(path))
    )


@pytest.mark.parametrize("schedule", ["constant", "linear"])
def test_an_interrupted_run_continues_to_the_same_edges(data, tmp_path, monkeypatch, schedule):
    undisturbed = edges(data, in_directory(tmp_path / "whole", 4, schedule))

    step = training_plan.CatranTrainingPlan.training_step

    def interrupted(self, minibatch, number):
        if self.current_epoch == 2:
            raise RuntimeError("pulled the plug")
        return step(self, minibatch, number)

    monkeypatch.setattr(training_plan.CatranTrainingPlan, "training_step", interrupted)
    with pytest.raises(RuntimeError, match="pulled the plug"):
        edges(data, in_directory(tmp_path / "broken", 4, schedule))
    assert not (tmp_path / "broken" / "edges.csv").exists()
    epochs_run = []

    def counted(self, minibatch, number):
        epochs_run.append(self.current_epoch)
        return step(self, minibatch, number)

    monkeypatch.setattr(training_plan.CatranTrainingPlan, "training_step", counted)
    resumed = edges(data, in_directory(tmp_path / "broken", 4, schedule))
    assert set(epochs_run) == {2, 3}
    assert resumed[0] == undisturbed[0]
    np.testing.assert_array_equal(resumed[1], undisturbed[1])


def test_a_run_directory_of_another_run_is_refused(data, tmp_path):
    edges(data, in_directory(tmp_path, 1))
    with pytest.raises(InputError, match=r"output\.run_directory: found .* which holds a run with other data"):
        edges(data, in_directory(tmp_path, 2))


@pytest.mark.parametrize("changed", [{"perturbation": "activation"}, {"batches": ["x", "y"] * 300}])
def test_a_run_directory_of_other_batches_or_another_kind_of_perturbation_is_refused(data, changed, tmp_path):
    infer_network(validate_dataset(*data), in_directory(tmp_path, 1))
    with pytest.raises(InputError, match=r"which holds a run with other data"):
        infer_network(validate_dataset(*data, **changed), in_directory(tmp_path, 1))


def test_a_run_directory_that_cannot_be_made_is_refused(data, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"output\.run_directory: found .*file/run, which cannot be written to"):
        edges(data, in_directory(tmp_path / "file" / "run", 1))


@pytest.mark.parametrize("number", [0, -5, 2.5, "3", True])
def test_a_number_of_edges_that_is_none_is_refused(data, number):
    network = infer_network(validate_dataset(*data), QUICK)
    with pytest.raises(InputError, match=r"num_edges: found .*; expected a whole number"):
        network.edges(number)


@BOTH_MODELS
def test_the_largest_seed_is_a_seed(data, config):
    assert len(infer_network(validate_dataset(*data), config, 2**63 - 1).edges(10)) == 10


@pytest.mark.guarantee(
    "Several processes",
    "In a SLURM job of several tasks, a process that `torchrun` did not start trains alone.",
)
@BOTH_MODELS
def test_a_job_of_several_tasks_trains_as_if_alone(data, config, monkeypatch):
    """Lightning would refuse to, or share the work with tasks that are not there."""
    for name, value in {"SLURM_JOB_ID": "12", "SLURM_JOB_NAME": "catran", "SLURM_NTASKS": "4"}.items():
        monkeypatch.setenv(name, value)
    handler = signal.getsignal(signal.SIGUSR1)
    assert len(infer_network(validate_dataset(*data), config).edges(10)) == 10
    assert signal.getsignal(signal.SIGUSR1) == handler


@pytest.mark.guarantee("Faults", "A GPU's memory is free again after training.")
@pytest.mark.parametrize(("config", "other"), [(QUICK, "evidence"), (QUICK_EVIDENCE, "catran")])
def test_a_fit_loads_its_own_model_only(data, config, other, monkeypatch):
    """The model of minibatches needs numba, which takes half a second to import."""
    plan = f"catran_causalbench.models.{other}.training_plan"
    monkeypatch.delitem(sys.modules, plan, raising=False)
    infer_network(validate_dataset(*data), config)
    assert plan not in sys.modules


def test_the_cells_are_let_go_after_training(data, monkeypatch):
    """Else a GPU would hold them until Python looks for cycles, and the next run would find it full."""
    cells = []

    class Watched(training_plan.MinibatchLoader):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            cells.append(weakref.ref(self._expression))

    monkeypatch.setattr(training_plan, "MinibatchLoader", Watched)
    gc.disable()
    try:
        infer_network(validate_dataset(*data), QUICK)
        assert [reference() for reference in cells] == [None]
    finally:
        gc.enable()


@pytest.mark.parametrize("seed", [-1, 1.5, "0", True, 2**63])
def test_a_seed_that_is_none_is_refused(data, seed):
    with pytest.raises(InputError, match=r"seed: found .*; expected a whole number"):
        edges(data, seed=seed)


def test_a_loss_that_is_not_finite_stops_training_with_advice(data):
    config = quick(masked_weight=1e39)
    with pytest.raises(
        TrainingError, match=r"the loss became .* in epoch 1, step 1 of 4; try a smaller catran\.learning_rate"
    ):
        edges(data, config)
