"""CausalBench's own DCDI-G, DCDI-DSF, DCDFG-LIN and DCDFG-MLP, trained by its code, on a CPU or a CUDA device.

All of them explain expression by an acyclic network in which a perturbed gene is not explained in its own cells (DCDI:
Brouillard et al. 2020; DCD-FG: Lopez et al. 2022). CausalBench publishes the edges above a threshold: a probability of
1/2 in DCDI, and in DCD-FG the strength at which the last cycle disappears. The scores here are what the threshold is
applied to, so that any number of edges can be asked for; the published edges are raised above all others and come
first.

* ``dcdi_g`` and ``dcdi_dsf`` use the genes expressed in half of the cells, in random partitions of 50 or more genes,
  without edges between partitions. Fewer genes form one partition, where CausalBench would return no edges.
* ``dcdfg_lin`` and ``dcdfg_mlp`` use the genes expressed in a quarter of the cells, and ten factors; or one per gene
  where there are fewer genes, with which CausalBench would fail.

Three things differ from CausalBench. Partitions are trained one after the other, because threads would share one stream
of random numbers. Data are loaded without worker processes. The second training of DCD-FG is left out: it changes the
weights of published edges, but neither which edges these are nor what the threshold is applied to. In the observational
regime all cells are controls, as in CausalBench.
"""

from __future__ import annotations

import contextlib
import io
import random
import types
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, random_split

from catran_causalbench.baselines.config import DcdiSettings
from catran_causalbench.data.dataset import CONTROL, CONTROL_LABEL, PerturbationDataset
from catran_causalbench.errors import InputError, TrainingError
from catran_causalbench.utils.hardware import best_device
from catran_causalbench.utils.quiet import quiet_lightning

_DEFAULTS = DcdiSettings()

# What CausalBench has no setting for.
_NETWORK_SIZES = {"DCDI-G": (2, 15), "DCDI-DSF": (2, 15, "leaky-relu", 2, 10)}
_VALIDATION_MINIBATCH = 256  # of DCD-FG

# Columns of the genes, the strengths of all edges among them, and which of these are published.
_Trained = tuple[np.ndarray, torch.Tensor, torch.Tensor]


def dcdi_g(dataset: PerturbationDataset, seed: int, settings: DcdiSettings = _DEFAULTS) -> np.ndarray:
    """DCDI-G: a gene is Gaussian around a neural network of its regulators.

    The scores are log-odds of the edges, float64, genes × genes, source × target, raised for published edges; ``-inf``
    for rarely expressed genes and between partitions.

    Raises
    ------
    InputError
        There are too few cells for CausalBench's minibatches.
    TrainingError
        The training fails.
    """
    return _dcdi("DCDI-G", dataset, seed, settings)


def dcdi_dsf(dataset: PerturbationDataset, seed: int, settings: DcdiSettings = _DEFAULTS) -> np.ndarray:
    """DCDI-DSF: like :func:`dcdi_g`, but with a normalising flow instead of the Gaussian."""
    return _dcdi("DCDI-DSF", dataset, seed, settings)


def dcdfg_lin(dataset: PerturbationDataset, seed: int, settings: DcdiSettings = _DEFAULTS) -> np.ndarray:
    """DCDFG-LIN: a gene is Gaussian around a weighted sum of its regulators; in CausalBench it has no factors.

    The same as for :func:`dcdi_g` holds, but the scores are absolute weights, and there are no partitions.
    """
    return _dcdfg("linear", dataset, seed, settings)


def dcdfg_mlp(dataset: PerturbationDataset, seed: int, settings: DcdiSettings = _DEFAULTS) -> np.ndarray:
    """DCDFG-MLP: like :func:`dcdfg_lin`, but through up to ten factors, each a neural network of some genes.

    The score of a pair is the probability that the source feeds a factor that drives the target, summed over factors.
    """
    return _dcdfg("mlplr", dataset, seed, settings)


def _dcdi(kind: str, dataset: PerturbationDataset, seed: int, settings: DcdiSettings) -> np.ndarray:
    causalbench = _causalbench()
    model = causalbench.DCDI(kind)
    model.opt.gpu = torch.cuda.is_available()
    model.opt.num_train_iter = max(1, round(settings.training_share * model.opt.num_train_iter))
    gaussian, flow = causalbench.LearnableModel_NonLinGaussANM, causalbench.DeepSigmoidalFlowModel
    network_class = _recording(gaussian if kind == "DCDI-G" else flow)

    def train(genes: np.ndarray) -> Iterator[_Trained]:
        if model.opt.gpu:
            torch.set_default_tensor_type("torch.cuda.FloatTensor")
        for partition in causalbench.partion_network(genes, min(model.gene_partition_sizes, len(genes)), seed):
            cells = _usable_cells(causalbench, dataset, genes[partition])
            _require_cells(int(len(cells) * model.fraction_train_data), model.opt.train_batch_size)
            network = network_class(cells.dim, *_NETWORK_SIZES[kind], intervention=True)
            data = cells.data[: len(cells)], cells.masks, np.array(cells.regimes), model.fraction_train_data
            training, validation = (
                causalbench.DataManagerFile(*data, train=part, random_seed=seed, intervention=True)
                for part in (True, False)
            )
            causalbench.train(network, training, validation, model.opt)
            published = network.get_w_adj() > model.soft_adjacency_matrix_threshold
            yield genes[partition], network.log_odds, published

    return _scores(dataset, model.gene_expression_threshold, train, seed)


def _dcdfg(kind: str, dataset: PerturbationDataset, seed: int, settings: DcdiSettings) -> np.ndarray:
    import pytorch_lightning as lightning

    causalbench = _causalbench()
    model = causalbench.DCDFG(kind)
    options = model.opt

    def train(genes: np.ndarray) -> Iterator[_Trained]:
        cells = _usable_cells(causalbench, dataset, genes)
        num_training = int(options.trainsamples * len(cells))
        _require_cells(num_training, options.train_batch_size)
        _require_cells(len(cells) - num_training, _VALIDATION_MINIBATCH)
        training, validation = random_split(cells, [num_training, len(cells) - num_training])
        common = {"lr_init": options.lr, "reg_coeff": options.reg_coeff, "constraint_mode": options.constraint_mode}
        if kind == "linear":
            network = causalbench.LinearGaussianModel(len(genes), poly=options.poly, **common)
        else:
            factors = min(options.num_modules, len(genes))
            network = causalbench.MLPModuleGaussianModel(len(genes), 2, factors, hid_dim=16, **common)
        stopping = causalbench.ConditionalEarlyStopping("Val/aug_lagrangian", min_delta=1e-4, patience=5)
        trainer = lightning.Trainer(
            max_epochs=max(1, round(settings.training_share * options.num_train_epochs)),
            callbacks=[causalbench.AugLagrangianCallback(), stopping],
            accelerator=best_device().type,
            devices=1,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(
            network,
            DataLoader(training, batch_size=options.train_batch_size, drop_last=True),
            DataLoader(validation, batch_size=_VALIDATION_MINIBATCH, drop_last=True),
        )
        network.module.threshold()
        strengths = network.module.weights.abs() if kind == "linear" else network.module.get_w_adj()
        yield genes, strengths.detach(), network.module.weight_mask != 0

    return _scores(dataset, model.gene_expression_threshold, train, seed)


def _causalbench() -> types.ModuleType:
    """Import CausalBench's models when they are needed, without the messages and side effects of their import."""
    with isolated():
        from causalscbench.models import dcdi_models
    return dcdi_models


def _scores(
    dataset: PerturbationDataset, expressed_share: float, train: Callable[[np.ndarray], Iterator[_Trained]], seed: int
) -> np.ndarray:
    """Train on the expressed genes, and return the strengths of all edges, published ones raised above all others."""
    scores = np.full((dataset.num_genes, dataset.num_genes), -np.inf)
    is_published = np.zeros(scores.shape, dtype=bool)
    genes = dataset.expressed_genes(expressed_share)
    if len(genes) < 2:
        return scores
    with isolated():
        torch.manual_seed(seed)
        try:
            for columns, strengths, published in train(genes):
                scores[np.ix_(columns, columns)] = strengths.double().cpu().numpy()
                is_published[np.ix_(columns, columns)] = published.cpu().numpy()
        except InputError:
            raise
        except (AssertionError, RuntimeError, ValueError) as error:
            message = f"the training of CausalBench's model failed ({type(error).__name__}: {error})"
            raise TrainingError(f"{message}; try another seed or another dcdi.training_share") from error
    np.fill_diagonal(scores, -np.inf)
    scores[is_published] += np.ptp(scores[np.isfinite(scores)]) + 1
    return scores


def _recording(network_class: Any) -> Any:
    """Extend a class of DCDI's networks so that it keeps the log-odds, which CausalBench replaces in the end."""

    class Recording(network_class):
        def get_w_adj(self) -> torch.Tensor:  # called in every iteration and after the last
            log_odds = self.gumbel_adjacency.log_alpha
            if log_odds.requires_grad:  # no longer so once they have been replaced by plus or minus 100
                self.log_odds = log_odds.detach().clone()
            return super().get_w_adj()

    return Recording


def _usable_cells(causalbench: types.ModuleType, dataset: PerturbationDataset, genes: np.ndarray) -> Any:
    """Return controls and the cells in which one of the genes is perturbed, as CausalBench's data set."""
    labels = [CONTROL_LABEL if code == CONTROL else code for code in dataset.intervention.tolist()]
    return causalbench.WeissmannDataset(dataset.expression[:, genes], genes.tolist(), labels)


def _require_cells(cells: int, minibatch: int) -> None:
    """Raise InputError where no minibatch is full: CausalBench drops the others, so it would use no cell at all."""
    if cells < minibatch:
        found = f"{cells} cells for training (80 %) or validation (20 %)"
        expected = f"at least {minibatch}, a whole minibatch, of controls and cells with an expressed gene perturbed"
        raise InputError.of("interventions", found, expected)


@contextlib.contextmanager
def isolated() -> Iterator[None]:
    """Suppress messages of other people's models, and restore what they change in Python, NumPy and PyTorch."""
    python_draws, numpy_draws = random.getstate(), np.random.get_state()  # noqa: NPY002
    dtype = torch.get_default_dtype()
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
        torch.set_default_dtype(torch.float32)  # CausalBench takes it for granted
        try:
            yield
        finally:
            random.setstate(python_draws)
            np.random.set_state(numpy_draws)  # noqa: NPY002
            warnings.formatwarning = format_warning
            torch.optim.RMSprop.step = rmsprop_step  # type: ignore[method-assign]
            if torch.cuda.is_available():
                torch.set_default_tensor_type(torch.FloatTensor)
            torch.set_default_dtype(dtype)
