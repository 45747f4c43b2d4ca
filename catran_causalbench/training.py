"""Training by PyTorch Lightning: minibatches in, a trained network out."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import pytorch_lightning as lightning
import torch
from lion_pytorch import Lion

from catran_causalbench.config import CatranConfig
from catran_causalbench.dataset import PerturbationDataset
from catran_causalbench.errors import TrainingError
from catran_causalbench.factored import FactoredCatranNetwork
from catran_causalbench.gate_training import GateTraining
from catran_causalbench.gated_attention import GatedAttention
from catran_causalbench.losses import Losses, catran_losses
from catran_causalbench.minibatches import Minibatch, MinibatchStream
from catran_causalbench.network import CatranNetwork
from catran_causalbench.run_folder import RunFolder

LOGGED_TERMS = ("hidden", "visible", "interventional", "total")


class CatranTraining(lightning.LightningModule):
    """A network, its objective and its optimiser."""

    def __init__(self, dataset: PerturbationDataset, config: CatranConfig, seed: int) -> None:
        super().__init__()
        form = FactoredCatranNetwork if config.network.form == "factored" else CatranNetwork
        with torch.random.fork_rng(devices=[]):  # torch's layers draw from the global state before we fill them
            self.network = form(
                dataset.num_genes,
                config.network.embedding_size,
                config.network.token,
                torch.Generator().manual_seed(seed),
            )
        self.config = config
        self._dataset = dataset
        self._seed = seed
        self._epoch_sums: torch.Tensor | None = None

    def train_dataloader(self) -> MinibatchStream:
        """Minibatches of the current epoch, made on the device of the network."""
        return MinibatchStream(
            self._dataset,
            self.config.training,
            self.config.corruption,
            self._seed,
            self.device,
            current_epoch=lambda: self.current_epoch,
        )

    def transfer_batch_to_device(self, batch: Minibatch, device: torch.device, dataloader_idx: int) -> Minibatch:
        """Return the minibatch as it is: it was made on the device."""
        return batch

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Lion (paper §1.2)."""
        training = self.config.training
        return Lion(self.parameters(), lr=training.learning_rate, weight_decay=training.weight_decay)

    def training_step(self, minibatch: Minibatch, step: int) -> torch.Tensor:
        """One minibatch; losses are summed on the device and read once an epoch, so that no step waits."""
        prediction, attention = self.network(minibatch.corrupted, minibatch.genes)
        losses = catran_losses(prediction, attention, minibatch, self.config.loss)
        self._add_to_epoch(losses, first=step == 0)
        return losses.total

    def on_train_epoch_end(self) -> None:
        """Log the epoch's mean of every loss term, and stop where they are no numbers any more."""
        assert self._epoch_sums is not None
        means = (self._epoch_sums / self.trainer.num_training_batches).tolist()
        if not all(map(torch.isfinite, torch.tensor(means))):
            raise TrainingError(
                f"training: the loss became {means[-1]} in epoch {self.current_epoch + 1}, before step "
                f"{self.global_step}; try a smaller training.learning_rate"
            )
        self.log_dict({f"loss/{term}": mean for term, mean in zip(LOGGED_TERMS, means, strict=True)}, prog_bar=True)

    def _add_to_epoch(self, losses: Losses, first: bool) -> None:
        terms = torch.stack([getattr(losses, term).detach() for term in LOGGED_TERMS])
        self._epoch_sums = terms if first or self._epoch_sums is None else self._epoch_sums + terms


def train(
    dataset: PerturbationDataset, config: CatranConfig, seed: int = 0, folder: RunFolder | None = None
) -> CatranNetwork | GatedAttention:
    """Learn attention, from evidence or by the paper's objective (on a GPU if there is one, else on the CPU).

    Parameters
    ----------
    dataset
        Validated data.
    config
        Settings.
    seed
        Decides the initial weights and every random draw; torch's and numpy's global states are left alone.
    folder
        Where logs and checkpoints go, and from where an interrupted run continues; nothing is written without it.

    Returns
    -------
    module
        With a method ``attention_rows``, on the CPU.

    Raises
    ------
    TrainingError
        Where the loss stops being a number.
    """
    if config.attention.learned_from == "evidence":
        gates = GateTraining(dataset, config.evidence, seed)
        if gates.stream.has_lessons:
            _fit(gates, 1, "cpu", folder)
        return gates.attention_after_training()
    catran = CatranTraining(dataset, config, seed)
    _fit(catran, config.training.epochs, "cuda" if torch.cuda.is_available() else "cpu", folder)
    return catran.network.cpu().eval()


def _fit(module: lightning.LightningModule, epochs: int, accelerator: str, folder: RunFolder | None) -> None:
    with _quiet_lightning():
        trainer = lightning.Trainer(
            accelerator=accelerator,
            devices=1,
            max_epochs=epochs,
            logger=folder.loggers() if folder else False,
            callbacks=folder.callbacks() if folder else [],
            enable_checkpointing=False,  # the run folder's callback writes its own, by renaming
            enable_progress_bar=sys.stderr.isatty(),
            enable_model_summary=False,
            log_every_n_steps=1,
        )
        trainer.fit(module, ckpt_path=folder.checkpoint_to_resume() if folder else None, weights_only=True)


@contextmanager
def _quiet_lightning() -> Iterator[None]:
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
