"""CausalBench's own DCDI-G, DCDI-DSF, DCDFG-LIN and DCDFG-MLP, trained by its code, on a CPU or a CUDA device.

All explain expression by a network without cycles in which a perturbed gene is not explained in its own cells (DCDI:
Brouillard et al. 2020; DCDFG: Lopez et al. 2022). The harness cuts what they learned: DCDI's pairs at a probability of
1/2, DCDFG's where the last cycle goes. The scores here are what it cuts, so that any number of edges can be asked for;
the pairs that it publishes are lifted above all others and come first.

* ``dcdi_g``, ``dcdi_dsf`` look at genes seen in half of the cells, in random partitions of 50 or more; there are no
  edges between two partitions. Fewer genes, for which the harness says nothing at all, are one partition here.
* ``dcdfg_lin``, ``dcdfg_mlp`` look at genes seen in a quarter of the cells. Of the ten factors there are no more than
  such genes, where the harness fails.

Three things differ from the harness. Partitions train one after the other, because side by side they share one stream
of random numbers. Data are loaded without worker processes. DCDFG's second training is left out: it changes the weights
of published edges, but neither which they are nor what they are cut by. In the observational regime all cells are
controls, as the harness has it.

The environment variable ``CATRAN_RIVAL_TRAINING`` shortens the training to a share, above 0 and at most 1, of the
harness's 60,000 iterations (DCDI) or 600 epochs (DCDFG), which are a matter of hours on a CPU.
"""

from __future__ import annotations

import contextlib
import io
import os
import random
import types
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

from catran_causalbench.data.dataset import CONTROL_LABEL, EXCLUDED_LABEL, PerturbationDataset
from catran_causalbench.errors import InputError, TrainingError
from catran_causalbench.training.trainer import quiet_lightning

TRAINING_VARIABLE = "CATRAN_RIVAL_TRAINING"


def dcdi_g_scores(dataset: PerturbationDataset, seed: int) -> np.ndarray:
    """DCDI-G: a gene is Gaussian around a neural network of its regulators.

    Returns
    -------
    numpy.ndarray
        float64, genes × genes, source × target: log-odds of the edge, published ones lifted above all others; ``-inf``
        for rarely seen genes and between partitions.

    Raises
    ------
    InputError
        Where the cells do not fill the harness's minibatches, or ``CATRAN_RIVAL_TRAINING`` is no share.
    TrainingError
        Where the training breaks down.
    """
    return _dcdi_scores("DCDI-G", dataset, seed)


def dcdi_dsf_scores(dataset: PerturbationDataset, seed: int) -> np.ndarray:
    """DCDI-DSF: as :func:`dcdi_g_scores`, but a normalising flow takes the place of the Gaussian."""
    return _dcdi_scores("DCDI-DSF", dataset, seed)


def dcdfg_lin_scores(dataset: PerturbationDataset, seed: int) -> np.ndarray:
    """DCDFG-LIN: a gene is Gaussian around a weighted sum of its regulators; in the harness it has no factors.

    Returns
    -------
    numpy.ndarray
        float64, genes × genes, source × target: absolute weight, published edges lifted above all others; ``-inf`` for
        rarely seen genes.

    Raises
    ------
    InputError
        Where the cells do not fill the harness's minibatches, or ``CATRAN_RIVAL_TRAINING`` is no share.
    TrainingError
        Where the training breaks down.
    """
    return _dcdfg_scores("linear", lambda module: module.weights.abs(), dataset, seed)


def dcdfg_mlp_scores(dataset: PerturbationDataset, seed: int) -> np.ndarray:
    """DCDFG-MLP: as :func:`dcdfg_lin_scores`, but through up to ten factors, each a neural network of some genes.

    A pair's score is the probability that the source feeds a factor that drives the target, summed over the factors.
    """
    return _dcdfg_scores("mlplr", lambda module: module.get_w_adj(), dataset, seed)


def _dcdi_scores(kind: str, dataset: PerturbationDataset, seed: int) -> np.ndarray:
    harness = _harness()
    model = harness.DCDI(kind)
    genes = dataset.expressed_genes(model.gene_expression_threshold)
    model.opt.gpu = torch.cuda.is_available()
    model.opt.num_train_iter = _shortened(model.opt.num_train_iter)
    model.gene_partition_sizes = min(model.gene_partition_sizes, len(genes))
    model.max_parallel_executors = 1
    partitions: list[np.ndarray] = []
    log_odds: list[torch.Tensor] = []

    def partion_network(*arguments: Any) -> list[np.ndarray]:
        partitions.extend(map(np.array, harness.partion_network(*arguments)))
        return partitions

    def train(network: Any, train_data: Any, test_data: Any, settings: Any) -> None:
        _require_cells(train_data.num_samples, settings.train_batch_size)
        edges, adjacency = network.gumbel_adjacency, network.get_w_adj
        log_odds.append(edges.log_alpha.detach().clone())

        def get_w_adj() -> torch.Tensor:
            if edges.log_alpha.requires_grad:  # no longer so once the harness has cut them to plus or minus 100
                log_odds[-1].copy_(edges.log_alpha.detach())
            return adjacency()

        network.get_w_adj = get_w_adj  # called by every iteration, and after the last
        harness.train(network, train_data, test_data, settings)

    published = _published_edges(model, {"partion_network": partion_network, "train": train}, dataset, genes, seed)
    return _scores(dataset, genes, list(zip(partitions, log_odds, strict=True)), published)


def _dcdfg_scores(
    kind: str, strength: Callable[[Any], torch.Tensor], dataset: PerturbationDataset, seed: int
) -> np.ndarray:
    import pytorch_lightning as lightning

    harness = _harness()
    model = harness.DCDFG(kind)
    genes = dataset.expressed_genes(model.gene_expression_threshold)
    model.opt.num_train_epochs = _shortened(model.opt.num_train_epochs)
    model.opt.num_fine_epochs = 0
    model.opt.num_modules = min(model.opt.num_modules, len(genes))
    accelerator = "cuda" if torch.cuda.is_available() else "cpu"
    networks: list[Any] = []

    def recorded(network_class: Callable[..., Any]) -> Callable[..., Any]:
        def make(*arguments: Any, **settings: Any) -> Any:
            networks.append(network_class(*arguments, **settings))
            return networks[-1]

        return make

    def quiet_trainer(**settings: Any) -> lightning.Trainer:
        settings |= {"accelerator": accelerator, "devices": 1, "logger": False}
        return lightning.Trainer(
            **settings, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False
        )

    def loader_without_workers(cells: Any, **settings: Any) -> torch.utils.data.DataLoader:
        _require_cells(len(cells), settings["batch_size"])
        return torch.utils.data.DataLoader(cells, **settings | {"num_workers": 0})

    replaced = {
        "LinearGaussianModel": recorded(harness.LinearGaussianModel),
        "MLPModuleGaussianModel": recorded(harness.MLPModuleGaussianModel),
        "pl": types.SimpleNamespace(Trainer=quiet_trainer),
        "DataLoader": loader_without_workers,
    }
    published = _published_edges(model, replaced, dataset, genes, seed)
    all_genes = np.arange(len(genes))
    return _scores(dataset, genes, [(all_genes, strength(network.module).detach()) for network in networks], published)


def _harness() -> types.ModuleType:
    """Import the harness's models, on use and without the messages and the settings that come with them."""
    with _unchanged_settings():
        from causalscbench.models import dcdi_models
    return dcdi_models


def _published_edges(
    model: Any, replaced: dict[str, Any], dataset: PerturbationDataset, genes: np.ndarray, seed: int
) -> list[tuple[int, int]]:
    """Call the harness's model with some of the names that its code uses meaning something else.

    Nothing of the harness is changed: its function runs once more, on a dictionary of names of its own.
    """
    if len(genes) < 2:
        return []
    call = type(model).__call__
    infer = types.FunctionType(call.__code__, call.__globals__ | replaced, argdefs=call.__defaults__)
    # CONTROL is -1 and EXCLUDED -2: they index the last two.
    labels = np.array([*dataset.gene_names, EXCLUDED_LABEL, CONTROL_LABEL], dtype=object)[dataset.intervention]
    names = [dataset.gene_names[gene] for gene in genes]
    with _unchanged_settings():
        torch.manual_seed(seed)
        try:
            edges = infer(model, dataset.expression[:, genes], list(labels), names, None, seed)
        except InputError:
            raise
        except (AssertionError, RuntimeError, ValueError) as error:
            message = f"the training of CausalBench's model broke down ({type(error).__name__}: {error})"
            raise TrainingError(f"{message}; try another seed or another {TRAINING_VARIABLE}") from error
    column_of = {name: column for column, name in enumerate(dataset.gene_names)}
    return [(column_of[str(source)], column_of[str(target)]) for source, target in edges]


def _scores(
    dataset: PerturbationDataset,
    genes: np.ndarray,
    parts: list[tuple[np.ndarray, torch.Tensor]],
    published: list[tuple[int, int]],
) -> np.ndarray:
    """Bring the strengths of each partition's pairs to their places, published pairs above all others."""
    scores = np.full((dataset.num_genes, dataset.num_genes), -np.inf)
    for columns, strengths in parts:
        scores[np.ix_(genes[columns], genes[columns])] = strengths.double().cpu().numpy()
    np.fill_diagonal(scores, -np.inf)
    if published:
        sources, targets = np.array(published).T
        scores[sources, targets] += np.ptp(scores[np.isfinite(scores)]) + 1
    return scores


def _shortened(length: int) -> int:
    """Share of the harness's length of training that ``CATRAN_RIVAL_TRAINING`` asks for; all of it by default."""
    given = os.environ.get(TRAINING_VARIABLE, "1")
    try:
        share = float(given)
    except ValueError:
        share = float("nan")
    if not 0 < share <= 1:
        raise InputError.of(TRAINING_VARIABLE, repr(given), "a share of CausalBench's training, above 0 and at most 1")
    return max(1, round(share * length))


def _require_cells(cells: int, minibatch: int) -> None:
    """Stop where the harness would train or validate on nothing: it drops a minibatch that is not full."""
    if cells < minibatch:
        raise InputError.of(
            "interventions",
            f"{cells} cells to train on (80 %) or to validate on (20 %)",
            f"at least {minibatch}, a whole minibatch; only controls count, and cells with a kept gene perturbed",
        )


@contextlib.contextmanager
def _unchanged_settings() -> Iterator[None]:
    """Keep the harness's messages to ourselves, and restore the settings of other packages that it changes."""
    python_draws, dtype = random.getstate(), torch.get_default_dtype()
    rmsprop_step, format_warning = torch.optim.RMSprop.step, warnings.formatwarning
    with (
        torch.random.fork_rng(),
        np.printoptions(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
        quiet_lightning(),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        torch.set_default_dtype(torch.float32)  # the harness takes it for granted
        try:
            yield
        finally:
            random.setstate(python_draws)
            warnings.formatwarning = format_warning
            torch.optim.RMSprop.step = rmsprop_step  # type: ignore[method-assign]
            if torch.cuda.is_available():
                torch.set_default_tensor_type(torch.FloatTensor)
            torch.set_default_dtype(dtype)
