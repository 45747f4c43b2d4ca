"""The two calls that infer a network: from a validated dataset, and from a screen as it comes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from catran_causalbench.config import CatranConfig, load_config
from catran_causalbench.data.anndata_reader import read_screen
from catran_causalbench.data.dataset import PerturbationDataset
from catran_causalbench.data.preprocessing import preprocess
from catran_causalbench.errors import InputError
from catran_causalbench.grn.fitted_network import FittedNetwork
from catran_causalbench.methods import CATRAN, find_method
from catran_causalbench.training.run_directory import RunDirectory

if TYPE_CHECKING:
    from anndata import AnnData

# Preprocessings that recover counts take counts as they are.
_START_FROM_COUNTS = ("counts", "log_normalise", "clr")


def infer_network(
    dataset: PerturbationDataset, config: CatranConfig | None = None, seed: int = 0, method: str = CATRAN
) -> FittedNetwork:
    """Infer a network, and write the edge table into the run directory where the settings name one.

    Parameters
    ----------
    dataset
        From :func:`~catran_causalbench.data.validation.validate_dataset`.
    config
        Settings; by default what :func:`~catran_causalbench.config.load_config` finds.
    seed
        Same seed, data and device: same edges.
    method
        ``catran``, ``catran-PRESET``, the path of a YAML file with settings, or a baseline: see
        :func:`~catran_causalbench.methods.method_names`.

    Returns
    -------
    FittedNetwork
        A weight for every pair of genes, and the measured effects.

    Raises
    ------
    InputError
        Before any work starts, for a method, settings or a seed that cannot be used.

    Examples
    --------
    >>> from catran_causalbench import infer_network, validate_dataset
    >>> dataset = validate_dataset(matrix, labels, gene_names)  # doctest: +SKIP
    >>> infer_network(dataset, seed=0).edges(100)  # doctest: +SKIP
    """
    check_seed(seed)
    chosen = find_method(method)
    config = chosen.settings(load_config() if config is None else config)
    effects = dataset.perturbation_effects()
    dataset = preprocess(dataset, config.data.preprocessing)
    settings = {"method": chosen.name, **config.to_mapping()}
    with RunDirectory.prepare(config.output.run_directory, settings, dataset, int(seed)) as directory:
        weights, history = chosen.score_pairs(dataset, config, int(seed), directory)
        np.fill_diagonal(weights, 0)
        network = FittedNetwork(dataset.gene_names, weights, effects, history, chosen.name, config, int(seed))
        if directory:
            directory.write_edges(network.edges())
    return network


def fit(
    data: AnnData | str | os.PathLike[str],
    *,
    perturbation_key: str,
    control: str = "non-targeting",
    layer: str | None = None,
    genes: str | Sequence[str] = "perturbed",
    min_cells: int = 100,
    counts: bool = False,
    method: str = CATRAN,
    config: CatranConfig | str | os.PathLike[str] | None = None,
    seed: int = 0,
) -> FittedNetwork:
    """Infer the network behind a Perturb-seq screen.

    Parameters
    ----------
    data
        An AnnData, cells × genes, in memory or backed, which is not changed; or the path of an .h5ad or .npz, of which
        only the genes considered are kept in memory.
    perturbation_key, control, layer, genes, min_cells, counts
        Which cells and genes count as what: see :func:`~catran_causalbench.data.anndata_reader.read_screen`. By default
        the genes are the measured ones that are perturbed in more than 100 cells, as sources and targets alike.
    method
        As for :func:`infer_network`.
    config
        Settings, the name of a preset, or the path of a YAML file; by default what
        :func:`~catran_causalbench.config.load_config` finds.
    seed
        Same seed, data and device: same edges.

    Returns
    -------
    FittedNetwork
        Edges, measured effects and pictures; it can be saved and holds no cells.

    Raises
    ------
    InputError
        Before training starts, for data, a method or settings that cannot be used.

    Examples
    --------
    >>> import catran_causalbench as catran
    >>> network = catran.fit("screen.h5ad", perturbation_key="target_gene")  # doctest: +SKIP
    >>> network.edges(100)  # doctest: +SKIP
    """
    check_seed(seed)
    config = config if isinstance(config, CatranConfig) else load_config(None if config is None else os.fspath(config))
    config = find_method(method).settings(config)
    screen = read_screen(
        data,
        perturbation_key=perturbation_key,
        control=control,
        layer=layer,
        genes=genes,
        min_cells=min_cells,
        counts=counts,
        allow_counts=config.data.preprocessing in _START_FROM_COUNTS,
    )
    dataset, cells, origin = screen.dataset(), screen.cells, screen.origin
    del screen  # or its matrix would be held beside that of the dataset
    return replace(infer_network(dataset, config, seed, method), cells=cells, origin=origin)


def check_seed(seed: int) -> None:
    """Raise InputError where a seed is no whole number from zero to 2⁶³ − 1, which torch's generators take."""
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= seed < 2**63:
        raise InputError.of("seed", repr(seed), "a whole number, zero or more and below 2**63")
