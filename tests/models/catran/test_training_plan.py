"""The preset ``catran``: what its settings do to a training, and the quality of its edges beside that of ``paper``."""

import itertools

import numpy as np
import pytest
import yaml
from helpers import REPOSITORY, random_data

from catran_causalbench import InputError, infer_network, load_config, validate_dataset
from catran_causalbench.config import CatranSettings
from catran_causalbench.models.catran.training_plan import CatranTrainingPlan
from catran_causalbench.training.trainer import train


@pytest.mark.parametrize(("steps", "cells", "epochs"), [(None, 100, 25), (12, 100, 2), (13, 100, 3), (5, 5000, 5)])
def test_a_number_of_steps_is_rounded_up_to_whole_passes(steps, cells, epochs):
    settings = CatranSettings(steps=steps, cells_per_minibatch=cells)
    assert CatranTrainingPlan(validate_dataset(*random_data(cells=600)), settings, seed=0).epochs == epochs


def test_a_pass_ends_after_the_number_of_steps():
    plan = CatranTrainingPlan(
        validate_dataset(*random_data(cells=600)), CatranSettings(steps=4, cells_per_minibatch=100), seed=0
    )
    assert plan.epochs == 1
    assert len(list(plan.train_dataloader())) == len(plan.train_dataloader()) == 4


@pytest.mark.parametrize(("schedule", "last"), [("constant", 1.0), ("linear", 1 / 12)])
def test_the_learning_rate_follows_its_schedule(schedule, last):
    rates = []

    class Watched(CatranTrainingPlan):
        def training_step(self, minibatch, step):
            rates.append(self.optimizers().param_groups[0]["lr"])
            return super().training_step(minibatch, step)

    settings = CatranSettings(learning_rate=0.01, learning_rate_schedule=schedule, steps=11, cells_per_minibatch=100)
    dataset = validate_dataset(*random_data(cells=650))
    train(Watched(dataset, settings, seed=0))
    np.testing.assert_allclose(rates, 0.01 * np.linspace(1, last, 12))


def test_expected_effects_need_standardised_genes():
    with pytest.raises(InputError, match=r"catran\.edge_weight: found 'expected_effect' of genes that are not"):
        CatranSettings(edge_weight="expected_effect")


@pytest.mark.parametrize(
    "name", ["standardise", "signed_mixing", "importance", "edge_weight", "learning_rate_schedule"]
)
def test_every_setting_of_the_preset_reaches_the_training(name):
    """Each of them back at its default gives other edges; the tests of the module and the losses show the others."""
    read_out = {"edge_weight": "attention"} if name == "standardise" else {}
    chosen = vars(load_config("catran").catran) | {"steps": 2, "cells_per_minibatch": 300} | read_out
    dataset = validate_dataset(*random_data())
    one, same, other = (
        infer_network(dataset, {"model": "catran", "catran": chosen | changes}).weights
        for changes in ({}, {}, {name: getattr(CatranSettings(), name)})
    )
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_the_loss_gets_the_importances_of_perturbed_and_of_other_sources():
    plan = CatranTrainingPlan(validate_dataset(*random_data()), load_config("catran").catran, seed=0)
    of_perturbed, of_others = plan.importance
    assert of_perturbed.isnan().any(dim=0).logical_xor(of_others.isnan().any(dim=0)).all()


def test_the_ablation_leads_from_the_paper_to_the_preset_one_change_at_a_time():
    experiments = REPOSITORY / "scripts" / "experiments"
    files = sorted((experiments / "network").glob("*.yaml"))
    listed = yaml.safe_load((experiments / "network.yaml").read_text(encoding="utf-8"))["methods"]
    assert [name for name in listed if name.endswith(".yaml")] == [f"network/{path.name}" for path in files]
    walk = [CatranSettings(), *(load_config(path).catran for path in files), load_config("catran").catran]
    for before, after in itertools.pairwise(map(vars, walk)):
        assert sum(before[name] != after[name] for name in before) == 1


def linear_screen(genes=40, cells=25, controls=600, seed=3):
    """SIMULATED: a sparse linear network whose noise passes on, and knock-downs of a deviation and a half."""
    rng = np.random.default_rng(seed)
    names = np.array([f"gene{number:02d}" for number in range(genes)])
    sizes = rng.uniform(0.4, 0.8, (genes, genes)) * rng.choice([-1, 1], (genes, genes))
    direct = np.triu(rng.random((genes, genes)) < 0.08, 1) * sizes
    order = rng.permutation(genes)
    direct = direct[np.ix_(order, order)]
    passed_on = np.linalg.inv(np.eye(genes) - direct)  # source × target
    labels = np.repeat([*names, "non-targeting"], [*[cells] * genes, controls])
    noise = rng.normal(0, 1, (len(labels), genes))
    for column, name in enumerate(names):
        noise[labels == name, column] -= 1.5
    scale = rng.uniform(0.2, 1, genes)
    total = np.abs(1.5 * (passed_on - np.eye(genes)) * scale)
    return (
        validate_dataset(
            ((noise @ passed_on + 12) * scale).clip(0).astype(np.float32), labels.tolist(), names.tolist()
        ),
        direct,
        total,
    )


@pytest.mark.guarantee(
    "Statistics",
    "With the settings of the preset `catran` it finds a simulated network as well as Mean Difference, and better than "
    "correlation from controls alone; with the paper's settings it does not.",
)
def test_the_preset_finds_the_network_and_the_papers_settings_do_not():
    dataset, direct, total = linear_screen()
    pairs = ~np.eye(len(direct), dtype=bool)

    def quality(screen, method):
        best = np.argsort(-infer_network(screen, method=method).weights[pairs])[: np.count_nonzero(direct)]
        return (direct[pairs][best] != 0).mean(), total[pairs][best].sum()

    preset, paper, difference = (
        quality(dataset, name) for name in ("catran-catran", "catran-paper", "mean_difference")
    )
    assert preset[0] > 1.05 * difference[0]
    assert preset[1] > 0.97 * difference[1]
    assert paper[0] < 0.5 * difference[0]
    alone, correlation = (quality(dataset.controls_only(), name)[0] for name in ("catran-catran", "correlation"))
    assert alone > correlation
