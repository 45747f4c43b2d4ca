"""Draws of cells from screens whose truth is known, for the experiments beside this file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from catran_causalbench import PerturbationDataset, validate_dataset
from catran_causalbench.data.dataset import CONTROL_LABEL

Screen = dict[str, np.ndarray]  # X (cells × genes), labels, names, direct and total (source × target)


def read_screen(path: Path) -> Screen:
    """Read an .npz."""
    with np.load(path) as file:
        return dict(file)


def draw(screen: Screen, fraction: float, seed: int, kept: float = 0.9) -> tuple[PerturbationDataset, np.ndarray]:
    """Draw a share of the genes to be perturbed, and a share of the cells of these and of the controls.

    Return the dataset and, for each of ``names``, whether the gene is perturbed.
    """
    names, labels = screen["names"], screen["labels"]
    rng = np.random.default_rng(1000 + seed)
    perturbed = np.zeros(len(names), dtype=bool)
    perturbed[rng.permutation(len(names))[: round(fraction * len(names))]] = True
    cells = np.isin(labels, [*names[perturbed], CONTROL_LABEL]) & (rng.random(len(labels)) < kept)
    return validate_dataset(screen["X"][cells], labels[cells].tolist(), names.tolist()), perturbed
