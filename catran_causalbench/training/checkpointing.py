"""Lightning's checkpoints: written whole, and read without running or believing what a file holds."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from pytorch_lightning.callbacks import Checkpoint
from pytorch_lightning.plugins.io import CheckpointIO

from catran_causalbench.errors import InputError

if TYPE_CHECKING:
    from catran_causalbench.training.run_directory import RunDirectory


class KeepLastCheckpoint(Checkpoint):
    """Save after every epoch whose losses were numbers; a run killed while saving keeps the state before.

    Lightning calls callbacks of this base class after all others, so one that refuses an epoch prevents its saving.
    """

    def __init__(self, folder: RunDirectory) -> None:
        self._folder = folder

    def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
        """Save."""
        trainer.save_checkpoint(self._folder.checkpoint)


class CheckpointFile(CheckpointIO):
    """A checkpoint as a file in the run folder."""

    def __init__(self, folder: RunDirectory) -> None:
        self._folder = folder

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Write it whole, or leave what is there."""
        content = io.BytesIO()
        torch.save({**checkpoint, "run_identity": self._folder.run_identity}, content)
        self._folder.write(Path(path).name, content.getvalue())

    def load_checkpoint(
        self, path: Any, map_location: Any | None = None, weights_only: bool | None = True
    ) -> dict[str, Any]:
        """Read tensors and plain values; nothing else is unpickled.

        Raises
        ------
        InputError
            Where the file is damaged, holds more than that, or belongs to another run.
        """
        try:
            with zipfile.ZipFile(path) as archive:
                if (damaged := archive.testzip()) is not None:  # torch itself does not look at the check sums
                    raise zipfile.BadZipFile(f"{damaged} is damaged")
            checkpoint = torch.load(path, map_location="cpu", weights_only=True)
            if checkpoint["run_identity"] != self._folder.run_identity:
                raise ValueError("it belongs to another run")
        except Exception as error:  # torch and pickle raise nearly everything on a damaged file
            reason = str(error).partition("\n")[0].partition(". ")[0] or type(error).__name__
            found = f"{path}, which is no checkpoint of this run ({reason})"
            expected = "the one it wrote; delete the file and start again to train from the first epoch"
            raise InputError.of("output.run_directory", found, expected) from None
        return checkpoint

    def remove_checkpoint(self, path: Any) -> None:
        """Delete it."""
        Path(path).unlink(missing_ok=True)
