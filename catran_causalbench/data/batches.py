"""Batches: which cells can be compared with controls, how shifts are taken out, and which columns look like batches."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from catran_causalbench.data.dataset import CONTROL, PerturbationDataset
from catran_causalbench.data.out_of_core import allocate_matrix
from catran_causalbench.errors import InputError, warn
from catran_causalbench.utils.parallel import blas_on_one_thread

if TYPE_CHECKING:
    import pandas as pd

Ints = NDArray[np.int64]

NO_BATCH = -1
_FEW_CONTROLS = 20
_CELLS_PER_BLOCK = 4096
# Columns of `obs` that may hold batches: gem_group, Batch, donor_id, orig.ident, library_2, 10x_run …
_BATCH_NAMES = re.compile(
    r"batch|gem_?group|lane|donor|patient|subject|individual|replicate|sample|library|plate|pool|channel|chip|experiment"
    r"|orig.ident|(^|_)(rep|run|well)(_|\d|$)",
    re.IGNORECASE,
)
_MOST_BATCHES, _CELLS_PER_BATCH = 1000, 10  # a column with more values, or fewer cells for each, holds no batches
_CONFOUNDED, _CHANCE = 0.2, 1e-3


def read_batches(obs: pd.DataFrame, batch_key: str, is_control: NDArray[np.bool_]) -> Ints:
    """Return the number of each cell's batch, from 0; ``NO_BATCH`` where it is unknown or holds no control.

    There is a warning for batches with few controls.

    Raises
    ------
    InputError
        There is no such column, or no batch with a control.
    """
    import pandas as pd

    if batch_key not in obs:
        raise InputError.of("batch_key", f"no {batch_key!r} in obs", f"one of {', '.join(map(str, obs.columns))}")
    named = obs[batch_key].astype(str).where(obs[batch_key].notna(), None)
    number, names = pd.factorize(named, sort=True)
    controls = np.bincount(number[is_control & (number >= 0)], minlength=len(names))
    if not controls.any():
        raise InputError.of("batch_key", f"no batch in {batch_key!r} with a control", "controls beside perturbed cells")
    few = np.flatnonzero((controls > 0) & (controls < _FEW_CONTROLS))
    if len(few):
        listed = ", ".join(f"{names[batch]!r}: {controls[batch]}" for batch in few[:3]) + ", …" * (len(few) > 3)
        message = f"{len(few)} of {len(names)} batches have fewer than {_FEW_CONTROLS} controls ({listed})"
        warn(f"{message}: the effects of perturbations that lie in them alone are unsure")
    renumbered = np.where(controls > 0, np.cumsum(controls > 0) - 1, NO_BATCH)
    return np.append(renumbered, NO_BATCH)[number]  # the last place is that of the number -1


def without_controls(intervention: Ints, batch: Ints, names: NDArray[np.object_]) -> NDArray[np.bool_]:
    """Return which perturbed and control cells cannot be compared with controls of their batch, and warn of them.

    ``intervention`` holds columns of the file, whose genes are called ``names``.
    """
    unmatched = (batch == NO_BATCH) & (intervention >= CONTROL)
    if unmatched.any():
        lost = np.setdiff1d(intervention[unmatched], intervention[~unmatched])
        genes = f"{', '.join(names[lost[:3]])}{', …' * (len(lost) > 3)}"
        message = f"{unmatched.sum()} cells in batches without a control are excluded"
        warn(message + f", with them all cells of {len(lost)} genes: {genes}" * (len(lost) > 0))
    return unmatched


def remove_batch_shifts(dataset: PerturbationDataset) -> PerturbationDataset:
    """Take additive shifts between batches out of the expression, so that cells of all batches can be compared.

    A linear model explains each gene's expression by the cell's label plus the cell's batch, and the batch's part is
    subtracted (least squares, as limma's ``removeBatchEffect`` does with the labels as design). For labels that lie in
    one batch each this equals subtracting the mean of the batch's controls; labels that lie in several batches make the
    shifts more precise. Excluded cells are shifted but do not contribute. The mean of all controls stays what it was;
    values may become negative.
    """
    if dataset.batch is None:
        return dataset
    batches = int(dataset.batch.max()) + 1
    normal = np.zeros((batches, batches))
    moments = np.zeros((batches, dataset.num_genes))
    controls = np.bincount(dataset.batch[dataset.intervention == CONTROL], minlength=batches)
    for code in [CONTROL, *dataset.perturbed_genes]:
        cells = dataset.cells_by_batch(code)
        present, count = list(cells), np.array([len(rows) for rows in cells.values()], float)
        total = np.stack([dataset.expression[rows].sum(axis=0, dtype=np.float64) for rows in cells.values()])
        normal[np.ix_(present, present)] += np.diag(count) - np.outer(count, count) / count.sum()
        moments[present] += total - np.outer(count / count.sum(), total.sum(axis=0))
    with blas_on_one_thread():
        shift = np.linalg.lstsq(normal, moments, rcond=None)[0]  # up to a constant, which the labels could hold as well
        shift = (shift - controls / controls.sum() @ shift).astype(np.float32)
    expression = allocate_matrix(*dataset.expression.shape)
    for start in range(0, len(expression), _CELLS_PER_BLOCK):
        block = slice(start, start + _CELLS_PER_BLOCK)
        np.subtract(dataset.expression[block], shift[dataset.batch[block]], out=expression[block])
    return replace(dataset, expression=expression)


def warn_of_confounding(obs: pd.DataFrame, perturbation_key: str, is_control: NDArray[np.bool_]) -> None:
    """Warn of the column of ``obs`` that looks like a batch and on which the labels depend most, if there is one.

    The measure is the share of a perturbation's cells that would have to move to another batch for these cells to be
    divided over the batches as the controls are; the share that is due to chance is subtracted. There is a warning if
    it is above 0.2 on average and a chi-square test of labels and batches is significant at 0.001.
    """
    import pandas as pd

    columns = [column for column in obs if column != perturbation_key and _BATCH_NAMES.search(str(column))]
    if not columns:
        return
    label = np.where(is_control, CONTROL, pd.factorize(obs[perturbation_key], use_na_sentinel=False)[0])
    labelled = is_control | obs[perturbation_key].notna().to_numpy()
    strongest, message = _CONFOUNDED, ""
    for column in columns:
        known = labelled & obs[column].notna().to_numpy()
        confounding, alone = _confounding(label[known], obs[column].to_numpy()[known])
        if confounding > strongest:
            strongest = confounding
            message = (
                f"the column {column!r} of obs looks like batches, and {confounding:.0%} of the perturbed cells lie in "
                "other batches than the controls, so that differences between batches pass for effects; "
                f"fit with batch_key={column!r} compares cells of one batch"
            )
            if alone:
                message += f", and excludes {alone:.0%} of the perturbed cells, whose batches hold no control"
    if message:
        warn(message)


def _confounding(label: Ints, batch: np.ndarray) -> tuple[float, float]:
    """Return by how much the batches of perturbed cells differ from the controls', and the share without controls.

    The first is 0 where the column holds no batches, such as a measurement or another name of the labels, and where the
    difference is not significant.
    """
    import pandas as pd
    from scipy.stats import chi2_contingency

    number, names = pd.factorize(batch)
    if not 2 <= len(names) <= min(_MOST_BATCHES, len(label) / _CELLS_PER_BATCH) or CONTROL not in label:
        return 0.0, 0.0
    table = pd.crosstab(label, number)
    one_to_one = ((table > 0).sum(axis=0) == 1).all() and ((table > 0).sum(axis=1) == 1).all()
    if one_to_one or chi2_contingency(table).pvalue > _CHANCE:
        return 0.0, 0.0
    controls, perturbed = table.loc[CONTROL].to_numpy(), table.drop(index=CONTROL).to_numpy()
    count, pooled = perturbed.sum(axis=1), table.sum(axis=0).to_numpy() / len(label)
    moved = np.abs(perturbed / count[:, None] - controls / controls.sum()).sum(axis=1) / 2
    # Mean absolute difference of two shares that chance alone makes different.
    errors = np.sqrt(np.outer(1 / count + 1 / controls.sum(), pooled * (1 - pooled)))
    moved_by_chance = np.sqrt(2 / np.pi) * errors.sum(axis=1) / 2
    alone = perturbed[:, controls == 0].sum() / perturbed.sum()
    return float(np.average(moved - moved_by_chance, weights=count)), float(alone)
