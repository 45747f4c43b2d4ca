"""What the trainer asks of a model, and the losses that it keeps in memory and in its checkpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytorch_lightning as lightning
from torch import Tensor

if TYPE_CHECKING:
    import pandas as pd


class TrainingPlan(lightning.LightningModule):
    """A module, its objective and its optimiser: what :func:`~catran_causalbench.training.trainer.train` trains.

    A subclass defines ``train_dataloader``, ``training_step`` and ``configure_optimizers`` as Lightning asks, and
    records its losses.

    Parameters
    ----------
    epochs
        Passes over the data loader.
    learning_rate_field
        Name of the setting that may help where a loss is no longer a finite number.
    uses_gpu
        Whether a GPU is used where there is one.
    """

    def __init__(self, epochs: int, learning_rate_field: str, uses_gpu: bool) -> None:
        super().__init__()
        self.epochs = epochs
        self.learning_rate_field = learning_rate_field
        self.uses_gpu = uses_gpu
        self._rows: list[dict[str, float]] = []

    @property
    def can_learn(self) -> bool:
        """Whether the data hold anything to learn from; a plan without is left as it is."""
        return True

    def record(self, step: int, losses: dict[str, Tensor]) -> None:
        """Keep losses by name, and show them in the progress bar and the logs."""
        self._rows.append({"step": step, **{name: float(value) for name, value in losses.items()}})
        self.log_dict(losses, prog_bar=True, sync_dist=True)

    def history(self) -> pd.DataFrame:
        """Return the recorded losses, one row per record: ``step`` and the losses' names."""
        import pandas as pd

        return pd.DataFrame(self._rows or {"step": []})

    def distributed_options(self, processes: int) -> dict[str, Any]:
        """Return options of Lightning's trainer for several processes that share every minibatch.

        A plan that cannot be shared trains in each process alone.
        """
        return {}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the losses with the weights."""
        checkpoint["history"] = self._rows

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on with the losses of the run that is resumed."""
        self._rows = checkpoint["history"]
