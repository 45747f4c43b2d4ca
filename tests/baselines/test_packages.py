"""Baselines that need a package of their authors: what it is given, and a small network where it is installed."""

import importlib.machinery
import importlib.util
import sys
import types
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from catran_causalbench import CatranConfig, InputError, infer_network, validate_dataset
from catran_causalbench.baselines import config, dspin, sdcd
from catran_causalbench.cli import app
from catran_causalbench.data.dataset import CONTROL, EXCLUDED
from catran_causalbench.methods import choose_method, find_method
from catran_causalbench.sweep.plan import SweepPlan

NAMES = ["a", "b", "c", "d"]


def chain():
    """c drives a, and a drives d; b is alone."""
    rng = np.random.default_rng(0)
    labels = np.repeat(["non-targeting", *NAMES], [400] + [100] * 4)
    matrix = rng.normal(10, 1, (len(labels), 4))
    for source, target in ((None, 2), (2, 0), (0, 3)):
        if source is not None:
            matrix[:, target] = 2 + 0.8 * matrix[:, source] + 0.3 * matrix[:, target]
        matrix[labels == NAMES[target], target] = rng.normal(3, 0.5, 100)
    matrix[labels == "b", 1] = rng.normal(3, 0.5, 100)
    return validate_dataset(matrix, labels.tolist(), NAMES)


@pytest.fixture(params=["dspin", "sdcd"])
def missing(request, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        config.importlib.util, "find_spec", lambda name, *rest: None if name == request.param else find(name, *rest)
    )
    return request.param


@pytest.mark.guarantee(
    "Input", "A baseline whose package is missing is refused before any work, with the command that installs it."
)
def test_a_missing_package_is_named_before_any_work(missing, tmp_path):
    message = f"method: found '{missing}' without its package; expected pip install .*{missing}"
    for refused in (
        lambda: infer_network(chain(), CatranConfig(), 0, missing),
        lambda: choose_method(missing),
        lambda: SweepPlan([missing], [tmp_path]),
        lambda: getattr({"dspin": dspin, "sdcd": sdcd}[missing], missing)(chain(), 0),
    ):
        with pytest.raises(InputError, match=message):
            refused()
    listed = CliRunner().invoke(app, ["methods"])
    assert listed.exit_code == 0
    assert missing in listed.stdout


def put_in_place(monkeypatch, name, **contents):
    """Let a module of this name hold some contents, and its packages exist."""
    for parent in (name[:end] for end, letter in enumerate(f"{name}.") if letter == "."):
        module = types.ModuleType(parent)
        module.__spec__ = importlib.machinery.ModuleSpec(parent, None)
        module.__path__ = []
        monkeypatch.setitem(sys.modules, parent, module)
    vars(sys.modules[name]).update(contents)


def with_excluded_cells():
    dataset = chain()
    intervention = dataset.intervention.copy()
    intervention[::7] = EXCLUDED
    return replace(dataset, intervention=intervention)


def test_dspin_gets_samples_and_its_rows_are_targets(monkeypatch):
    given = []

    class GeneDSPIN:
        def __init__(self, adata, directory, num_spin):
            given.append((adata, directory, num_spin, Path(directory).is_dir()))

        def network_inference(self, sample_id_key, method, directed, params):
            given.append((sample_id_key, method, directed, params))
            self.network = -np.arange(16.0).reshape(4, 4) - np.random.random()  # noqa: NPY002

    put_in_place(monkeypatch, "dspin.dspin", GeneDSPIN=GeneDSPIN)
    dataset = with_excluded_cells()
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    scores = [dspin.dspin(dataset, seed) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002
    assert scores[0][2, 3] - scores[0][0, 0] == pytest.approx(14), "row 3, column 2 of the package's network"
    np.testing.assert_array_equal(scores[0], scores[1])
    assert not np.array_equal(scores[0], scores[2])
    (adata, directory, num_spin, existed), options = given[:2]
    assert (num_spin, existed, Path(directory).exists()) == (4, True, False)
    assert options == ("sample_id", "pseudo_likelihood", True, {"seed": 1})
    kept = dataset.intervention != EXCLUDED
    np.testing.assert_array_equal(adata.X, dataset.expression[kept])
    expected = ["control" if code == CONTROL else f"gene{code}" for code in dataset.intervention[kept]]
    assert adata.obs["sample_id"].tolist() == expected


def test_sdcd_gets_masks_and_the_seed(monkeypatch):
    given = []

    class SDCD:
        _mask = 1 - np.eye(4, dtype=int)

        def train(self, data, device):
            module.set_random_seed_all(0)
            given.append(data.tensors)
            self._drawn = torch.rand(4, 4).numpy()

        def get_adjacency_matrix(self, threshold):
            assert threshold is False
            return self._drawn

    put_in_place(monkeypatch, "sdcd.models._sdcd", SDCD=SDCD, set_random_seed_all=torch.manual_seed)
    monkeypatch.setattr(sdcd.importlib, "import_module", lambda name: sys.modules[name])
    module = sys.modules["sdcd.models._sdcd"]
    dataset = with_excluded_cells()
    scores = [sdcd.sdcd(dataset, seed) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(scores[0], scores[1])
    assert not np.array_equal(scores[0], scores[2])
    assert module.set_random_seed_all is torch.manual_seed, "it is put back"
    expected = torch.rand(4, 4, generator=torch.Generator().manual_seed(1)).double().numpy()
    np.fill_diagonal(expected, -np.inf)
    np.testing.assert_array_equal(scores[0], expected)
    expression, explained, is_perturbed = (tensor.numpy() for tensor in given[0])
    perturbed = dataset.intervention[dataset.intervention != EXCLUDED]
    assert len(expression) == len(perturbed)
    for cell, code in enumerate(perturbed):
        assert explained[cell].tolist() == [column != code for column in range(4)]
        assert is_perturbed[cell] == (code != CONTROL)
    np.testing.assert_allclose(expression.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(expression.std(axis=0), 1, atol=1e-2)
    if importlib.util.find_spec("wandb") is None:
        assert "wandb" not in sys.modules


@pytest.mark.parametrize("name", ["dspin", "sdcd"])
def test_the_package_finds_a_chain(name, monkeypatch):
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed")
    if name == "sdcd":  # a tenth of the training, which takes a minute
        module = sdcd._package()
        monkeypatch.setitem(module._DEFAULT_STAGE1_KWARGS, "n_epochs", 200)
        monkeypatch.setitem(module._DEFAULT_STAGE2_KWARGS, "n_epochs", 200)
    dataset = chain()
    score = find_method(name).score_pairs
    first, again = (score(dataset, CatranConfig(), 1).weights for _ in range(2))
    np.testing.assert_array_equal(first, again)
    np.fill_diagonal(first, -np.inf)
    top = {tuple(divmod(int(place), 4)) for place in np.argsort(-first, axis=None)[:4]}
    assert {(2, 0), (0, 3)} <= top
    if name == "sdcd":
        assert first[2, 0] > first[0, 2], "source × target"
        assert first[0, 3] > first[3, 0], "source × target"
        assert not np.array_equal(first, score(dataset, CatranConfig(), 2).weights), "the seed reaches the package"
