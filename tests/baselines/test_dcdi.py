"""The harness's own models as rivals: against the harness's classes called directly, and what they leave behind."""

import random
import warnings

import numpy as np
import pytest
import pytorch_lightning
import torch
from causalscbench.models import dcdi_models
from causalscbench.models.training_regimes import TrainingRegime

from catran_causalbench.baselines import dcdi as causal_models
from catran_causalbench.baselines import edges_of_scores, rival_names, rival_scores
from catran_causalbench.data.dataset import CONTROL_LABEL, EXCLUDED_LABEL
from catran_causalbench.data.validation import validate_dataset
from catran_causalbench.errors import InputError, TrainingError
from catran_causalbench.grn.edges import rank_matrix

GENES = [f"gene{number:02d}" for number in range(12)]
RARE = 5
KINDS = {"dcdi_g": "DCDI-G", "dcdi_dsf": "DCDI-DSF", "dcdfg_lin": "linear", "dcdfg_mlp": "mlplr"}
ITERATIONS, EPOCHS = 60, 1  # a thousandth of 60,000 and of 600
PRESSURE = {"DCDI-G": 20.0, "DCDI-DSF": 3.0}  # towards few edges: some are left, but not all, whatever rounding does


def linked_data(cells=1600, genes=12, controls_only=False):
    """gene00 drives gene01, which drives gene02; gene05 is rarely seen; the last two are never perturbed."""
    rng = np.random.default_rng(0)
    names = GENES[:genes]
    labels = rng.choice([*names[:-2], *3 * [CONTROL_LABEL], EXCLUDED_LABEL], cells)
    if controls_only:
        labels[:] = CONTROL_LABEL
    values = rng.gamma(4, 0.5, (cells, genes))
    for source, target in ((0, 1), (1, 2)):
        values[:, target] = values[:, source] + 0.2 * values[:, target]
        values[labels == names[target], target] *= 0.1
    values[rng.random(cells) < 0.9, RARE] = 0
    return values.astype(np.float32), [str(label) for label in labels], names


@pytest.fixture(scope="module")
def dataset():
    return validate_dataset(*linked_data())


@pytest.fixture(scope="module", params=KINDS)
def name(request):
    return request.param


@pytest.fixture(scope="module", autouse=True)
def short():
    """Train briefly; and let DCDI take large steps under pressure, as all pairs stay edges otherwise."""
    construct = dcdi_models.DCDI.__init__

    def construct_hasty(model, kind):
        construct(model, kind)
        model.opt.lr, model.opt.reg_coeff = 0.2, PRESSURE[kind]

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CATRAN_RIVAL_TRAINING", "0.001")
        patch.setattr(dcdi_models.DCDI, "__init__", construct_hasty)
        yield


@pytest.fixture(scope="module")
def scores(name, dataset, short):
    return rival_scores(name)(dataset, 3)


def harness_model(name, genes):
    if name.startswith("dcdi"):
        model = dcdi_models.DCDI(KINDS[name])
        model.opt.gpu = False
        model.opt.num_train_iter = ITERATIONS
        model.gene_partition_sizes = genes
    else:
        model = dcdi_models.DCDFG(KINDS[name])
        model.opt.num_train_epochs = EPOCHS
        model.opt.num_fine_epochs = 1
    return model


def harness_edges(model, dataset, seed, monkeypatch):
    """What the harness's class returns as it stands, but for worker processes, which only cost time."""

    def load(cells, **settings):
        return torch.utils.data.DataLoader(cells, **settings | {"num_workers": 0})

    monkeypatch.setattr(dcdi_models, "DataLoader", load)
    labels = [*dataset.gene_names, EXCLUDED_LABEL, CONTROL_LABEL]
    interventions = [labels[code] for code in dataset.intervention]
    with causal_models._unchanged_settings():
        torch.manual_seed(seed)
        edges = model(dataset.expression, interventions, list(dataset.gene_names), TrainingRegime.Interventional, seed)
    return {(str(source), str(target)) for source, target in edges}


def best(scores, number):
    edges = rank_matrix(scores, number)
    return {(GENES[source], GENES[target]) for source, target in zip(edges.source, edges.target, strict=True)}


def test_the_best_edges_are_those_that_the_harness_publishes(name, dataset, scores, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    published = harness_edges(harness_model(name, genes=11), dataset, 3, monkeypatch)
    assert 1 < len(published) < 100
    assert best(scores, len(published)) == published


def test_the_seed_decides(name, dataset, scores):
    np.testing.assert_array_equal(rival_scores(name)(dataset, 3), scores)
    assert best(rival_scores(name)(dataset, 4), 30) != best(scores, 30)


@pytest.mark.parametrize("name", ["dcdi_g"])
def test_a_converged_model_is_ranked_by_what_it_learned_before_the_cut(name, dataset, monkeypatch):
    construct = dcdi_models.DCDI.__init__

    def construct_impatient(model, kind):
        construct(model, kind)
        model.opt.h_threshold = np.inf
        model.opt.train_patience = model.opt.train_patience_post = 0
        model.opt.reg_coeff = 250.0

    monkeypatch.setattr(dcdi_models.DCDI, "__init__", construct_impatient)
    monkeypatch.setenv("CATRAN_RIVAL_TRAINING", repr(110 / 60_000))
    model = harness_model(name, genes=11)
    model.opt.num_train_iter = 110  # it looks for cycles after 100
    networks = []
    train = dcdi_models.train
    monkeypatch.setattr(dcdi_models, "train", lambda network, *rest: (networks.append(network), train(network, *rest)))
    published = harness_edges(model, dataset, 3, monkeypatch)
    scores = rival_scores(name)(dataset, 3)
    assert set(networks[0].gumbel_adjacency.log_alpha.abs().flatten().tolist()) == {100.0}, "it was not cut"
    assert len(np.unique(scores[np.isfinite(scores)])) == 110
    assert len(published) > 2
    assert best(scores, len(published)) == published


def test_rare_genes_are_unknown_and_all_other_pairs_ranked(scores):
    kept = [gene for gene in range(12) if gene != RARE]
    known = np.zeros((12, 12), dtype=bool)
    known[np.ix_(kept, kept)] = True
    np.fill_diagonal(known, False)
    np.testing.assert_array_equal(np.isfinite(scores), known)
    assert len(edges_of_scores(scores, 132, seed=0)) == 132


def test_partitions_know_no_edges_between_them(dataset, monkeypatch):
    construct = dcdi_models.DCDI.__init__

    def construct_small(model, kind):
        construct(model, kind)
        model.gene_partition_sizes = 5

    monkeypatch.setattr(dcdi_models.DCDI, "__init__", construct_small)
    scores = rival_scores("dcdi_g")(dataset, 0)
    assert np.isfinite(scores).sum() == 6 * 5 + 5 * 4
    np.testing.assert_array_equal(scores, rival_scores("dcdi_g")(dataset, 0))
    for source, target in np.argwhere(np.isfinite(scores)):
        for other in np.flatnonzero(np.isfinite(scores[target])):
            assert other == source or np.isfinite(scores[source, other])


@pytest.mark.parametrize("controls_only", [False, True])
def test_small_panels_and_controls_alone_do(name, controls_only):
    small = validate_dataset(*linked_data(genes=7, controls_only=controls_only))
    assert np.isfinite(rival_scores(name)(small, 0)).sum() == 6 * 5


def test_nothing_is_left_behind(name, dataset, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    torch.set_default_dtype(torch.float64)
    try:
        before = _global_state()
        rival_scores(name)(dataset, 0)
        assert _global_state() == before
    finally:
        torch.set_default_dtype(torch.float32)
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


def _global_state():
    return (
        torch.get_rng_state().tolist(),
        torch.get_default_dtype(),
        torch.optim.RMSprop.step,
        random.getstate(),
        np.random.get_state()[1].tolist(),  # noqa: NPY002
        str(np.get_printoptions()),
        warnings.formatwarning,
        list(warnings.filters),
    )


@pytest.mark.parametrize("cuda", [False, True])
def test_a_cuda_device_is_used_where_there_is_one(name, dataset, cuda, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    chosen = {}
    monkeypatch.setattr(pytorch_lightning, "Trainer", lambda **settings: chosen.update(settings))

    def look(model, replaced, *_):
        chosen["gpu"] = getattr(model.opt, "gpu", None)
        if name.startswith("dcdfg"):
            replaced["pl"].Trainer(max_epochs=1, logger=None)
        return []

    monkeypatch.setattr(causal_models, "_published_edges", look)
    rival_scores(name)(dataset, 0)
    if name.startswith("dcdi"):
        assert chosen["gpu"] is cuda
    else:
        assert (chosen["accelerator"], chosen["devices"]) == ("cuda" if cuda else "cpu", 1)


@pytest.mark.parametrize("share", ["0", "-1", "1.5", "nan", "much", ""])
def test_a_share_of_training_that_is_none_is_refused(name, dataset, share, monkeypatch):
    monkeypatch.setenv("CATRAN_RIVAL_TRAINING", share)
    with pytest.raises(InputError, match=f"CATRAN_RIVAL_TRAINING: found '{share}'; expected .* at most 1"):
        rival_scores(name)(dataset, 0)


def test_the_harness_decides_the_length_by_default(monkeypatch):
    monkeypatch.delenv("CATRAN_RIVAL_TRAINING")
    assert causal_models._shortened(60_000) == 60_000
    monkeypatch.setenv("CATRAN_RIVAL_TRAINING", "0.00001")
    assert causal_models._shortened(600) == 1


@pytest.mark.parametrize(("name", "cells"), [("dcdi_g", 80), ("dcdfg_lin", 1200)])
def test_too_few_cells_are_refused(name, cells):
    matrix, labels, genes = linked_data(cells)
    usable = sum(label not in (EXCLUDED_LABEL, GENES[RARE]) for label in labels)
    training = usable * 8 // 10
    found = training if name == "dcdi_g" else usable - training
    with pytest.raises(InputError, match=f"interventions: found {found} cells .* at least"):
        rival_scores(name)(validate_dataset(matrix, labels, genes), 0)


def test_a_breakdown_is_told_in_words(dataset, monkeypatch):
    def fail(*_):
        raise AssertionError("not a number")

    monkeypatch.setattr(dcdi_models, "train", fail)
    with pytest.raises(TrainingError, match=r"not a number.*another seed"):
        rival_scores("dcdi_g")(dataset, 0)


def test_no_genes_are_no_edges(name):
    matrix, labels, genes = linked_data()
    matrix[np.random.default_rng(0).random(matrix.shape) < 0.9] = 0
    assert (rival_scores(name)(validate_dataset(matrix, labels, genes), 0) == -np.inf).all()


def test_all_four_are_registered():
    assert rival_names()[-4:] == list(KINDS)
