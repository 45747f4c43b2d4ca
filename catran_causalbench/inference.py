"""The two functions that infer a network: from a validated dataset, and from a screen."""

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
from catran_causalbench.grn.fitted_network import FittedNetwork
from catran_causalbench.methods import CATRAN, find_method
from catran_causalbench.training.run_directory import RunDirectory
from catran_causalbench.utils.validation import checked, number

if TYPE_CHECKING:
    from anndata import AnnData

_ACCEPT_COUNTS = ("counts", "log_normalise", "clr")  # preprocessing that starts from counts anyway
_SEED = number(low=0, high=2**63 - 1).metadata  # what torch's generators accept


def infer_network(
    dataset: PerturbationDataset, config: CatranConfig | None = None, seed: int = 0, method: str = CATRAN
) -> FittedNetwork:
    """Infer a network, and write its edges to the run directory if the settings name one.

    Parameters
    ----------
    dataset
        From :func:`~catran_causalbench.data.validation.validate_dataset`.
    config
        Settings; by default those of :func:`~catran_causalbench.config.load_config`.
    seed
        The same seed, data and device give the same edges.
    method
        ``catran``, ``catran-PRESET``, the path of a YAML file with settings, or a baseline: see
        :func:`~catran_causalbench.methods.method_names`.

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
    seed = checked("seed", seed, int, _SEED)
    chosen = find_method(method)
    config = chosen.settings(load_config() if config is None else config)
    effects = dataset.perturbation_effects()
    dataset = preprocess(dataset, config.data.preprocessing)
    settings = {"method": chosen.name, **config.to_mapping()}
    with RunDirectory.prepare(config.output.run_directory, settings, dataset, seed) as directory:
        weights, history = chosen.score_pairs(dataset, config, seed, directory)
        np.fill_diagonal(weights, 0)
        network = FittedNetwork(dataset.gene_names, weights, effects, history, chosen.name, config, seed)
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
        An AnnData, cells × genes, in memory or backed, which is not changed; or the path of an .h5ad, .zarr or .npz, of
        which only the selected genes are kept in memory.
    perturbation_key, control, layer, genes, min_cells, counts
        See :func:`~catran_causalbench.data.anndata_reader.read_screen`. By default the network consists of the measured
        genes that are perturbed in more than 100 cells.
    method, seed
        As for :func:`infer_network`.
    config
        Settings, the name of a preset, or the path of a YAML file; by default those of
        :func:`~catran_causalbench.config.load_config`.

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
    seed = checked("seed", seed, int, _SEED)
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
        allow_counts=config.data.preprocessing in _ACCEPT_COUNTS,
    )
    dataset, cells, origin = screen.dataset(), screen.cells, screen.origin
    del screen  # or both its matrix and that of the dataset would be kept
    return replace(infer_network(dataset, config, seed, method), cells=cells, origin=origin)
