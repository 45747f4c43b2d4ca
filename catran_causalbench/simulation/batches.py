"""Simulated cells as several batches measure them: each has a depth, and a shift of every gene's expression."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from catran_causalbench.data.preprocessing import log_normalise
from catran_causalbench.simulation.causal_model import CausalModel, random_stream
from catran_causalbench.simulation.expression import Cells, simulate_cells


def simulate_batches(
    model: CausalModel, batch: NDArray[np.int64], shifts: NDArray[np.float64], depths: NDArray[np.float64]
) -> Cells:
    """Simulate the cells of :func:`simulate_cells`, each as its batch measures it; the labels are the same.

    Parameters
    ----------
    batch
        Length C, the number of each cell's batch.
    shifts
        B × G: what a batch adds to the log means of the genes.
    depths
        Length B: the share of a cell's molecules that are counted in a batch, above 0 and at most 1.

    Returns
    -------
    Cells
        Normalised together, as if nobody knew of the batches.
    """
    rng = random_stream(model.seed, "batches")
    parts = []
    for number, (shift, depth) in enumerate(zip(shifts, depths, strict=True)):
        cells = simulate_cells(replace(model, log_means=model.log_means + np.float32(shift)))
        rows = np.flatnonzero(batch == number)
        counts = cells.counts[rows]
        outside = cells.totals[rows] - counts.sum(axis=1, dtype=np.int64)
        counted = rng.binomial(counts, depth).astype(np.uint16)
        parts.append((rows, counted, counted.sum(axis=1, dtype=np.int64) + rng.binomial(outside, depth)))
    rows, counts, totals = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    order = np.argsort(rows)
    counts, totals = counts[order], totals[order]
    return Cells(counts, log_normalise(counts, totals), cells.labels, totals)
