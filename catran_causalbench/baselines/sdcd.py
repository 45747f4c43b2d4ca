"""SDCD by its own package, an optional extra."""

from __future__ import annotations

import contextlib
import importlib.util
import sys
import types
from collections.abc import Iterator

import numpy as np
import torch
from torch.utils.data import TensorDataset

from catran_causalbench.baselines.config import require_package
from catran_causalbench.baselines.dcdi import isolated
from catran_causalbench.data.dataset import EXCLUDED, PerturbationDataset
from catran_causalbench.utils.hardware import best_device


def sdcd(dataset: PerturbationDataset, seed: int) -> np.ndarray:
    """SDCD (A. Nazaret, J. Hong, E. Azizi and D. Blei 2024), trained by the authors' package with its defaults.

    A gene is Gaussian around a neural network of its regulators. The first stage selects possible edges, the second one
    learns an acyclic network of them. A perturbed gene is not explained in its own cells. Expression is standardised,
    as the authors do it for measured data.

    The package always trains with seed 0; here it is ``seed``. Its import of wandb, which it would only need to log, is
    given an empty module where that is not installed.

    The scores are the entries of the adjacency matrix before its threshold, float64, genes × genes, source × target;
    ``-inf`` for pairs that the first stage dropped.

    Raises
    ------
    InputError
        The package is not installed.
    """
    module = _package()
    cells = np.flatnonzero(dataset.intervention != EXCLUDED)
    expression = torch.from_numpy(dataset.expression[cells]).float()
    expression = (expression - expression.mean(0)) / expression.std(0).clamp_min(1e-7)
    perturbed = dataset.intervention[cells]
    explained = torch.ones(expression.shape, dtype=torch.long)
    rows = np.flatnonzero(perturbed >= 0)
    explained[rows, perturbed[rows]] = 0
    data = TensorDataset(expression, explained, torch.from_numpy((perturbed >= 0).astype(np.int64)))
    device = best_device()
    with isolated(), _seeded(module, seed):
        model = module.SDCD()
        model.train(data, device=device)
        scores = model.get_adjacency_matrix(threshold=False).astype(np.float64)
    return np.where(model._mask > 0, scores, -np.inf)


@contextlib.contextmanager
def _seeded(module: types.ModuleType, seed: int) -> Iterator[None]:
    """Let the training start from a seed of ours."""
    seed_all = module.set_random_seed_all
    module.set_random_seed_all = lambda _: seed_all(seed)  # type: ignore[attr-defined]
    try:
        yield
    finally:
        module.set_random_seed_all = seed_all  # type: ignore[attr-defined]


def _package() -> types.ModuleType:
    """Import the module that holds the model."""
    require_package("sdcd")
    needs_stand_in = importlib.util.find_spec("wandb") is None
    if needs_stand_in:
        sys.modules["wandb"] = types.ModuleType("wandb")
    try:
        return importlib.import_module("sdcd.models._sdcd")
    finally:
        if needs_stand_in:
            del sys.modules["wandb"]
