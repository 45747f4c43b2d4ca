"""Baselines that need a package of their authors, each on a small network where the package is installed."""

import importlib.util

import numpy as np
import pytest
from typer.testing import CliRunner

from catran_causalbench import CatranConfig, InputError, infer_network, validate_dataset
from catran_causalbench.baselines import config, dspin, sdcd
from catran_causalbench.cli import app
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
