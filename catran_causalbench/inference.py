"""The two functions that infer a network: from a validated dataset, and from a screen."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from catran_causalbench.config import ConfigSource, load_config
from catran_causalbench.data.anndata_reader import Screen, read_screen
from catran_causalbench.data.batches import remove_batch_shifts
from catran_causalbench.data.dataset import PERTURBATIONS, PerturbationDataset
from catran_causalbench.data.effects import measure_effects, warn_of_direction
from catran_causalbench.data.label_reader import COMBINATION_SEPARATOR
from catran_causalbench.data.preprocessing import preprocess
from catran_causalbench.grn.fitted_network import FittedNetwork
from catran_causalbench.methods import CATRAN, find_method
from catran_causalbench.training.run_directory import RunDirectory
from catran_causalbench.utils.isolation import one_at_a_time
from catran_causalbench.utils.parallel import prefetched
from catran_causalbench.utils.validation import checked, choice, number

if TYPE_CHECKING:
    from anndata import AnnData

_ACCEPT_COUNTS = ("counts", "log_normalise", "clr")  # preprocessing that starts from counts anyway
_SEED = number(low=0, high=2**63 - 1).metadata  # what torch's generators accept


def infer_network(
    dataset: PerturbationDataset, config: ConfigSource = None, seed: int = 0, method: str = CATRAN
) -> FittedNetwork:
    """Infer a network, and write its edges to the run directory if the settings name one.

    Parameters
    ----------
    dataset
        From :func:`~catran_causalbench.data.validation.validate_dataset`.
    config
        Settings, or what :func:`~catran_causalbench.config.load_config` reads them from: a preset, the path of a YAML
        file, a mapping like ``{"output": {"edges": 500}}``, or by default the environment.
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
    config = chosen.settings(load_config(config))
    settings = {"method": chosen.name, **config.to_mapping()}
    # Effects are measured in a second thread meanwhile, in the data as they were given.
    with one_at_a_time(), prefetched(map(measure_effects, [dataset])) as effects:
        dataset = remove_batch_shifts(preprocess(dataset, config.data.preprocessing))
        with RunDirectory.prepare(config.output.run_directory, settings, dataset, seed) as directory:
            scores = chosen.score_pairs(dataset, config, seed, directory)
            np.fill_diagonal(scores.weights, 0)
            measured = next(effects)
            network = FittedNetwork(
                gene_names=dataset.gene_names,
                weights=scores.weights,
                direct_weights=scores.direct_weights,
                effects=measured.effect,
                p_values=measured.p_value,
                perturbation=dataset.perturbation,
                history=scores.history,
                method=chosen.name,
                config=config,
                seed=seed,
            )
            if directory:
                directory.write_edges(network.edges(config.output.benchmark_edges))
    return network


def fit(
    data: AnnData | str | os.PathLike[str],
    *,
    perturbation_key: str,
    control: str | Sequence[str] = "non-targeting",
    label_pattern: str | None = None,
    combination_separator: str = COMBINATION_SEPARATOR,
    gene_names: str | None = None,
    batch_key: str | None = None,
    perturbation: str = PERTURBATIONS[0],
    layer: str | None = None,
    genes: str | Sequence[str] = "perturbed",
    min_cells: int = 100,
    counts: bool = False,
    method: str = CATRAN,
    config: ConfigSource = None,
    seed: int = 0,
    on_screen: Callable[[Screen], None] | None = None,
) -> FittedNetwork:
    """Infer the network behind a Perturb-seq screen.

    Parameters
    ----------
    data
        An AnnData, cells × genes, in memory or backed, which is not changed; or the path of an .h5ad, .zarr or .npz, of
        which only the selected genes are kept in memory.
    perturbation_key, control, label_pattern, combination_separator, gene_names, batch_key
        See :func:`~catran_causalbench.data.anndata_reader.read_screen`. The result's ``cells`` says what the cells
        counted as.
    layer, genes, min_cells, counts
        See there, too. By default the network consists of the measured genes that are perturbed in more than 100 cells.
    perturbation
        ``knockdown``, ``knockout`` or ``activation`` (CRISPRa, over-expression): whether a target that falls when its
        source is perturbed is activated or repressed by it.
    method, config, seed
        As for :func:`infer_network`.
    on_screen
        Called with the screen as it was read, before training starts.

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
    perturbation = checked("perturbation", perturbation, str, choice(*PERTURBATIONS).metadata)
    config = find_method(method).settings(load_config(config))
    screen = read_screen(
        data,
        perturbation_key=perturbation_key,
        control=control,
        label_pattern=label_pattern,
        combination_separator=combination_separator,
        gene_names=gene_names,
        batch_key=batch_key,
        layer=layer,
        genes=genes,
        min_cells=min_cells,
        counts=counts,
        allow_counts=config.data.preprocessing in _ACCEPT_COUNTS,
    )
    if on_screen:
        on_screen(screen)
    dataset = screen.dataset(perturbation, copy=False)
    network = replace(infer_network(dataset, config, seed, method), cells=screen.cells, origin=screen.origin)
    warn_of_direction(network.effects, network.p_values, perturbation)
    return network
