"""Training by PyTorch Lightning: minibatches in, a trained network out."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytorch_lightning as lightning
import torch
from lion_pytorch import Lion
from pytorch_lightning.plugins.environments import LightningEnvironment

from catran_causalbench.config import CatranConfig
from catran_causalbench.data.dataset import PerturbationDataset
from catran_causalbench.errors import InputError, TrainingError
from catran_causalbench.models.catran.dataloader import Minibatch, MinibatchLoader
from catran_causalbench.models.catran.factored_module import FactoredCatranModule
from catran_causalbench.models.catran.losses import catran_losses
from catran_causalbench.models.catran.module import CatranModule
from catran_causalbench.models.evidence.module import GatedAttention
from catran_causalbench.models.evidence.training_plan import EvidenceTrainingPlan
from catran_causalbench.training.checkpointing import CheckpointFile, KeepLastCheckpoint
from catran_causalbench.training.run_directory import RunDirectory
from catran_causalbench.utils.distributed import all_agree, launched_by_torchrun, num_processes

_LOG = logging.getLogger(__name__)

LOGGED_TERMS = ("hidden", "visible", "interventional", "total")


class CatranTrainingPlan(lightning.LightningModule):
    """A network, its objective and its optimiser."""

    def __init__(self, dataset: PerturbationDataset, config: CatranConfig, seed: int) -> None:
        super().__init__()
        form = FactoredCatranModule if config.network.form == "factored" else CatranModule
        with torch.random.fork_rng(devices=[]):  # torch's layers draw from the global state before we fill them
            self.network = form(
                dataset.num_genes,
                config.network.embedding_size,
                config.network.token,
                torch.Generator().manual_seed(seed),
            )
        self.config = config
        self.dataset = dataset
        self._seed = seed
        self._terms: list[torch.Tensor] = []

    def train_dataloader(self) -> MinibatchLoader:
        """Minibatches of the current epoch, made on the device of the network."""
        self._stream = MinibatchLoader(
            self.dataset,
            self.config.training,
            self.config.corruption,
            self._seed,
            self.device,
            current_epoch=lambda: self.current_epoch,
        )
        return self._stream

    def transfer_batch_to_device(self, batch: Minibatch, device: torch.device, dataloader_idx: int) -> Minibatch:
        """Return the minibatch as it is: it was made on the device."""
        return batch

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Lion (paper §1.2)."""
        training = self.config.training
        return Lion(self.parameters(), lr=training.learning_rate, weight_decay=training.weight_decay)

    def training_step(self, minibatch: Minibatch, step: int) -> dict[str, torch.Tensor]:
        """One minibatch: its loss, and all terms of it for the log."""
        prediction, attention = self.network(minibatch.corrupted, minibatch.genes)
        losses = catran_losses(prediction, attention, minibatch, self.config.loss)
        return {"loss": losses.total, "terms": torch.stack([getattr(losses, term).detach() for term in LOGGED_TERMS])}

    def optimizer_step(self, epoch: int, step: int, optimizer: Any, closure: Any = None) -> None:
        """Update the weights; forward and backward are repeated with more room where the device has too little.

        The weights do not change before both are done. Only the running statistics of the batch norms count such a
        minibatch twice, and attention does not depend on them. Several processes repeat nothing: the others would wait
        for messages in another order.
        """
        alone = num_processes() == 1
        super().optimizer_step(epoch, step, optimizer, lambda: self._stream.with_room(closure, again=alone))

    def on_train_start(self) -> None:
        """Make sure that all processes continue from the same epoch.

        Raises
        ------
        InputError
            Where they found different checkpoints.
        """
        if not all_agree(self.current_epoch, self.device):
            found = f"a checkpoint after epoch {self.current_epoch} that other processes do not find"
            raise InputError.of("output.run_directory", found, "a folder on a disk that all machines share")

    def on_fit_end(self) -> None:
        """Free the device of the cells."""
        self._stream.release()

    def on_train_batch_end(self, outputs: Any, batch: Any, step: int) -> None:
        """Keep the losses on the device until the epoch ends, so that no step waits for them."""
        self._terms.append(outputs["terms"])

    def on_train_epoch_end(self) -> None:
        """Log the epoch's mean of every loss term."""
        means = torch.stack(self._terms).mean(dim=0).tolist()
        self._terms.clear()
        self.log_dict(
            {f"loss/{term}": mean for term, mean in zip(LOGGED_TERMS, means, strict=True)},
            prog_bar=True,
            sync_dist=True,
        )


class StopWithoutNumbers(lightning.Callback):
    """Stop at the end of an epoch in which a loss was no number, and name the step; so no step waits for the device.

    Parameters
    ----------
    learning_rate
        The setting that may help.
    """

    def __init__(self, learning_rate: str) -> None:
        self._learning_rate = learning_rate
        self._losses: list[torch.Tensor] = []

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, step: int) -> None:
        """Note the loss."""
        self._losses.append(outputs["loss"])

    def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
        """Look at the losses, and at the weights that the last of them led to."""
        losses = torch.stack(self._losses).cpu()
        self._losses.clear()
        wrong = (~losses.isfinite()).nonzero().flatten().tolist()
        if wrong:
            what, step = f"loss became {losses[wrong[0]].item()}", wrong[0] + 1
        elif not all(weights.isfinite().all() for weights in module.parameters()):
            what, step = "weights are no numbers", len(losses)
        else:
            return
        raise TrainingError(
            f"training: the {what} in epoch {trainer.current_epoch + 1}, step {step} of {len(losses)}; try a smaller "
            f"{self._learning_rate}"
        )


def train(
    dataset: PerturbationDataset, config: CatranConfig, seed: int = 0, folder: RunDirectory | None = None
) -> CatranModule | GatedAttention:
    """Learn attention, from evidence or by the paper's objective (on a GPU if there is one, else on the CPU).

    Parameters
    ----------
    dataset
        Validated data.
    config
        Settings.
    seed
        Decides the initial weights and every random draw; torch's and numpy's global states are left alone.
        Processes that ``torchrun`` started share every minibatch of the paper's objective and end with one network;
        the gates are small, and every process trains the same ones.
    folder
        Where logs and checkpoints go, and from where an interrupted run continues; nothing is written without it.

    Returns
    -------
    module
        With a method ``attention_rows``, on the CPU.

    Raises
    ------
    InputError
        Where the checkpoint of an interrupted run cannot be read.
    TrainingError
        Where the loss stops being a number, the device has too little memory or the folder no more room.
    KeyboardInterrupt
        Where the user stops it; a run with a folder can be continued.
    """
    if config.attention.learned_from == "evidence":
        gates = EvidenceTrainingPlan(dataset, config.evidence, seed)
        if gates.stream.has_lessons:
            _fit(gates, 1, "cpu", folder, StopWithoutNumbers("evidence.learning_rate"))
        return gates.attention_after_training()
    catran = CatranTrainingPlan(dataset, config, seed)
    processes = _processes(catran) if launched_by_torchrun() else {}
    device = "cuda" if torch.cuda.is_available() else "cpu"
    _fit(catran, config.training.epochs, device, folder, StopWithoutNumbers("training.learning_rate"), **processes)
    return catran.network.cpu().eval()


def _processes(catran: CatranTrainingPlan) -> dict[str, Any]:
    """Say to Lightning which processes ``torchrun`` started, once they can share the minibatches."""
    processes = int(os.environ["WORLD_SIZE"])
    for field, found, possible in (
        ("network.form", catran.config.network.form, ("factored",)),
        ("corruption.method", catran.config.corruption.method, ("shuffle_within_cell", "zero")),
    ):
        if found not in possible:
            expected = f"{' or '.join(map(repr, possible))}, or one process"
            raise InputError.of(field, f"{found!r} in {processes} processes", expected)
    cells = min(catran.config.training.cells_per_minibatch, catran.dataset.num_cells)
    if cells % processes:
        found = f"minibatches of {cells} cells"
        raise InputError.of("training.cells_per_minibatch", found, f"a multiple of the {processes} processes")
    local = int(os.environ["LOCAL_WORLD_SIZE"])
    return {"strategy": "ddp", "devices": local, "num_nodes": processes // local, "use_distributed_sampler": False}


def _fit(
    module: lightning.LightningModule,
    epochs: int,
    accelerator: str,
    folder: RunDirectory | None,
    stop_without_numbers: StopWithoutNumbers,
    **processes: Any,
) -> None:
    plugins: list[Any] = [CheckpointFile(folder)] if folder else []
    if not launched_by_torchrun():
        # Whatever job this process is part of, it trains alone: Lightning would count a job's tasks and requeue it.
        plugins.append(LightningEnvironment())
    with quiet_lightning(), folder.needed() if folder else nullcontext(), _interruptible(folder):
        trainer = lightning.Trainer(
            accelerator=accelerator,
            **{"devices": 1, **processes},
            max_epochs=epochs,
            logger=folder.loggers() if folder else False,
            callbacks=[stop_without_numbers, *([KeepLastCheckpoint(folder)] if folder else [])],
            plugins=plugins,
            enable_checkpointing=folder is not None,
            enable_progress_bar=sys.stderr.isatty(),
            enable_model_summary=False,
            log_every_n_steps=1,
        )
        trainer.fit(module, ckpt_path=folder.checkpoint_to_resume() if folder else None, weights_only=True)


@contextmanager
def _interruptible(folder: RunDirectory | None) -> Iterator[None]:
    """Let Ctrl-C through, which Lightning turns into the end of the process, and say how to go on."""
    try:
        yield
    except SystemExit as end:
        if not isinstance(end.__context__, KeyboardInterrupt):
            raise
        if folder is None:
            _LOG.warning("Stopped. Nothing was kept: name output.run_directory to be able to continue a run.")
        else:
            _LOG.warning("Stopped. To continue from the last finished epoch, start the same run again.")
        raise KeyboardInterrupt from None


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Keep Lightning's advertising and its advice about data loaders (we have none) from the user's terminal."""
    names = ("pytorch_lightning", "lightning.pytorch", "lightning.fabric")
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*does not have many workers.*")
            warnings.filterwarnings("ignore", message=".*treespec.*", category=FutureWarning)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
