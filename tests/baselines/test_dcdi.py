"""CausalBench's own models as baselines: against its classes called directly, and what they leave behind."""

import random
import warnings
from contextlib import contextmanager

import numpy as np
import pytest
import pytorch_lightning
import torch
from causalscbench.models import dcdi_models
from causalscbench.models.training_regimes import TrainingRegime

from catran_causalbench.baselines import dcdi
from catran_causalbench.baselines.config import DcdiSettings
from catran_causalbench.data.dataset import CONTROL_LABEL, EXCLUDED_LABEL
from catran_causalbench.data.validation import validate_dataset
from catran_causalbench.errors import InputError, TrainingError
from catran_causalbench.grn.edges import rank_edges
from catran_causalbench.methods import baseline_names

GENES = [f"gene{number:02d}" for number in range(12)]
RARE = 5
KINDS = {"dcdi_g": "DCDI-G", "dcdi_dsf": "DCDI-DSF", "dcdfg_lin": "linear", "dcdfg_mlp": "mlplr"}
SHORT = DcdiSettings(training_share=0.001)
ITERATIONS, EPOCHS = 60, 1  # a thousandth of 60,000 and of 600
SPARSITY = {"DCDI-G": 20.0, "DCDI-DSF": 3.0}  # so that some edges are left, but not all, whatever rounding does


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
def sparse():
    """Let DCDI take large steps towards few edges; in a short training all pairs would stay edges otherwise."""
    with changed_dcdi(lambda model, kind: vars(model.opt).update(lr=0.2, reg_coeff=SPARSITY[kind])):
        yield


@contextmanager
def changed_dcdi(change):
    """Change every DCDI model of CausalBench after its construction."""
    construct = dcdi_models.DCDI.__init__

    def construct_and_change(model, kind):
        construct(model, kind)
        change(model, kind)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dcdi_models.DCDI, "__init__", construct_and_change)
        yield


def scores_of(name, dataset, seed=0, settings=SHORT):
    return getattr(dcdi, name)(dataset, seed, settings)


@pytest.fixture(scope="module")
def scores(name, dataset, sparse):
    return scores_of(name, dataset, 3)


def causalbench_model(name, genes):
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


def causalbench_edges(model, dataset, seed, monkeypatch):
    """What CausalBench's class returns as it is, but without worker processes, which only cost time."""

    def load(cells, **settings):
        return torch.utils.data.DataLoader(cells, **settings | {"num_workers": 0})

    monkeypatch.setattr(dcdi_models, "DataLoader", load)
    labels = [*dataset.gene_names, EXCLUDED_LABEL, CONTROL_LABEL]
    interventions = [labels[code] for code in dataset.intervention]
    with dcdi.isolated():
        torch.manual_seed(seed)
        edges = model(dataset.expression, interventions, list(dataset.gene_names), TrainingRegime.Interventional, seed)
    return {(str(source), str(target)) for source, target in edges}


def best(scores, number):
    edges = rank_edges(scores, number)
    return {(GENES[source], GENES[target]) for source, target in zip(edges.source, edges.target, strict=True)}


def test_the_best_edges_are_those_that_causalbench_publishes(name, dataset, scores, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    published = causalbench_edges(causalbench_model(name, genes=11), dataset, 3, monkeypatch)
    assert 1 < len(published) < 100
    assert best(scores, len(published)) == published


def test_the_seed_decides(name, dataset, scores):
    np.testing.assert_array_equal(scores_of(name, dataset, 3), scores)
    assert best(scores_of(name, dataset, 4), 30) != best(scores, 30)


def test_a_converged_model_is_ranked_by_what_it_learned_before_the_cut(dataset, monkeypatch):
    def stop_early(model, _):
        model.opt.h_threshold = np.inf
        model.opt.train_patience = model.opt.train_patience_post = 0
        model.opt.reg_coeff = 250.0

    networks = []
    train = dcdi_models.train
    monkeypatch.setattr(dcdi_models, "train", lambda network, *rest: (networks.append(network), train(network, *rest)))
    with changed_dcdi(stop_early):
        model = causalbench_model("dcdi_g", genes=11)
        model.opt.num_train_iter = 110  # it looks for cycles after 100
        published = causalbench_edges(model, dataset, 3, monkeypatch)
        scores = scores_of("dcdi_g", dataset, 3, DcdiSettings(110 / 60_000))
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


def test_there_are_no_edges_between_partitions(dataset):
    with changed_dcdi(lambda model, _: setattr(model, "gene_partition_sizes", 5)):
        scores, again = (scores_of("dcdi_g", dataset) for _ in range(2))
    assert np.isfinite(scores).sum() == 6 * 5 + 5 * 4
    np.testing.assert_array_equal(scores, again)
    for source, target in np.argwhere(np.isfinite(scores)):
        for other in np.flatnonzero(np.isfinite(scores[target])):
            assert other == source or np.isfinite(scores[source, other])


@pytest.mark.parametrize("controls_only", [False, True])
def test_small_panels_and_controls_alone_do(name, controls_only):
    small = validate_dataset(*linked_data(genes=7, controls_only=controls_only))
    assert np.isfinite(scores_of(name, small)).sum() == 6 * 5


def test_nothing_is_left_behind(name, dataset, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    torch.set_default_dtype(torch.float64)
    try:
        before = global_state()
        scores_of(name, dataset)
        assert global_state() == before
    finally:
        torch.set_default_dtype(torch.float32)
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


def global_state():
    return (
        torch.get_rng_state().tolist(),
        torch.get_default_dtype(),
        torch.optim.RMSprop.step,
        random.getstate(),
        str(np.random.get_state()),  # noqa: NPY002
        str(np.get_printoptions()),
        warnings.formatwarning,
        list(warnings.filters),
    )


class Seen(Exception):
    """Ends a run once the settings of the training are known."""


def training_settings(name, dataset, monkeypatch, settings):
    """Return the settings with which the training would start."""

    def look(*arguments, **keywords):
        raise Seen(keywords or vars(arguments[-1]))

    monkeypatch.setattr(dcdi_models, "train", look)
    monkeypatch.setattr(pytorch_lightning, "Trainer", look)
    monkeypatch.setattr(torch, "set_default_tensor_type", lambda kind: None)
    with pytest.raises(Seen) as seen:
        scores_of(name, dataset, settings=settings)
    return seen.value.args[0]


@pytest.mark.parametrize("cuda", [False, True])
def test_a_cuda_device_is_used_where_there_is_one(name, dataset, cuda, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    found = training_settings(name, dataset, monkeypatch, SHORT)
    if name.startswith("dcdi"):
        assert found["gpu"] is cuda
    else:
        assert (found["accelerator"], found["devices"]) == ("cuda" if cuda else "cpu", 1)


@pytest.mark.parametrize(("share", "iterations", "epochs"), [(1, 60_000, 600), (0.25, 15_000, 150), (1e-5, 1, 1)])
def test_training_takes_the_share_asked_for(name, dataset, share, iterations, epochs, monkeypatch):
    found = training_settings(name, dataset, monkeypatch, DcdiSettings(share))
    assert found["num_train_iter" if name.startswith("dcdi") else "max_epochs"] == (
        iterations if name.startswith("dcdi") else epochs
    )


@pytest.mark.parametrize("share", [0, -1, 1.5, float("nan"), "much"])
def test_a_share_of_training_that_is_none_is_refused(share):
    with pytest.raises(InputError, match=r"dcdi.training_share: found .*; expected a number"):
        DcdiSettings(share)
    assert DcdiSettings() == DcdiSettings(1.0)


@pytest.mark.parametrize(("name", "cells"), [("dcdi_g", 80), ("dcdfg_lin", 1200)])
def test_too_few_cells_are_refused(name, cells):
    matrix, labels, genes = linked_data(cells)
    usable = sum(label not in (EXCLUDED_LABEL, GENES[RARE]) for label in labels)
    training = usable * 8 // 10
    found = training if name == "dcdi_g" else usable - training
    with pytest.raises(InputError, match=f"interventions: found {found} cells .* at least"):
        scores_of(name, validate_dataset(matrix, labels, genes))


def test_a_training_that_fails_is_reported(dataset, monkeypatch):
    def fail(*_):
        raise AssertionError("not a number")

    monkeypatch.setattr(dcdi_models, "train", fail)
    with pytest.raises(TrainingError, match=r"not a number.*another seed"):
        scores_of("dcdi_g", dataset)


def test_no_genes_are_no_edges(name):
    matrix, labels, genes = linked_data()
    matrix[np.random.default_rng(0).random(matrix.shape) < 0.9] = 0
    assert (scores_of(name, validate_dataset(matrix, labels, genes)) == -np.inf).all()


def test_all_four_are_registered():
    assert baseline_names()[-4:] == list(KINDS)
