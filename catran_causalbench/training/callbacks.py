"""Callbacks of every training."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as lightning
import torch
from pytorch_lightning.callbacks import Checkpoint

from catran_causalbench.errors import TrainingError
from catran_causalbench.training.run_directory import RunDirectory
from catran_causalbench.utils.progress import report


class StopAtNonFiniteLoss(lightning.Callback):
    """Raise TrainingError at the end of an epoch with a loss that is not finite, naming the step and the learning rate.

    Losses are checked once per epoch, so that no step waits for their transfer from the device.
    """

    def __init__(self, learning_rate_field: str) -> None:
        self._learning_rate_field = learning_rate_field
        self._losses: list[torch.Tensor] = []

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, step: int) -> None:
        """Keep the loss."""
        self._losses.append(outputs["loss"])

    def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
        """Check the losses, and the weights after the last of them."""
        losses = torch.stack(self._losses).cpu()
        self._losses.clear()
        wrong = (~losses.isfinite()).nonzero().flatten().tolist()
        if wrong:
            what, step = f"loss became {losses[wrong[0]].item()}", wrong[0] + 1
        elif not all(weights.isfinite().all() for weights in module.parameters()):
            what, step = "weights are not finite", len(losses)
        else:
            return
        raise TrainingError(
            f"training: the {what} in epoch {trainer.current_epoch + 1}, step {step} of {len(losses)}; try a smaller "
            f"{self._learning_rate_field}"
        )


class ReportProgress(lightning.Callback):
    """Report how many steps of how many are done."""

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, step: int) -> None:
        """Report the steps of all epochs."""
        steps = trainer.num_training_batches
        report("Training", trainer.current_epoch * steps + step + 1, trainer.max_epochs * steps)


class KeepLastCheckpoint(Checkpoint):
    """Save after every epoch whose losses were finite; a run that is killed while saving keeps the previous checkpoint.

    Lightning calls callbacks of this base class after all others, so none is saved after one of them raised.
    """

    def __init__(self, directory: RunDirectory) -> None:
        self._directory = directory

    def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
        """Save."""
        trainer.save_checkpoint(self._directory.checkpoint)
