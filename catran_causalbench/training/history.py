"""The base class of all training plans, which keeps their losses in memory and in checkpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytorch_lightning as lightning
from torch import Tensor

if TYPE_CHECKING:
    import pandas as pd


class TrainingPlan(lightning.LightningModule):
    """A module, its objective and its optimiser: what :func:`~catran_causalbench.training.trainer.train` trains.

    A subclass defines ``train_dataloader``, ``training_step`` and ``configure_optimizers`` as Lightning requires, and
    records its losses. It sets ``can_learn`` to false where the data hold nothing to learn from.

    Parameters
    ----------
    epochs
        Passes over the data loader.
    learning_rate_field
        Name of the setting to change where a loss is not finite.
    uses_gpu
        Whether a GPU is used where there is one.
    """

    can_learn = True

    def __init__(self, epochs: int, learning_rate_field: str, uses_gpu: bool) -> None:
        super().__init__()
        self.epochs = epochs
        self.learning_rate_field = learning_rate_field
        self.uses_gpu = uses_gpu
        self._rows: list[dict[str, float]] = []

    def record(self, step: int, losses: dict[str, Tensor]) -> None:
        """Keep losses by name, and write them to the progress bar and the logs, where there are any."""
        self._rows.append({"step": step, **{name: float(value) for name, value in losses.items()}})
        if self.trainer.loggers or self.trainer.progress_bar_callback:
            self.log_dict(losses, prog_bar=True, sync_dist=True)

    def history(self) -> pd.DataFrame:
        """Return the recorded losses, one row per record: ``step`` and the losses' names."""
        import pandas as pd

        return pd.DataFrame(self._rows or {"step": []})

    def distributed_options(self, processes: int) -> dict[str, Any]:
        """Return Lightning's options for processes that share every minibatch; without any, each trains alone."""
        return {}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the losses with the weights."""
        checkpoint["history"] = self._rows

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Continue with the losses of the run that is resumed."""
        self._rows = checkpoint["history"]
