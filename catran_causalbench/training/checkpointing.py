"""Lightning's checkpoints: written atomically, checked when they are read, and never unpickled beyond plain values."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins.io import CheckpointIO

from catran_causalbench.errors import InputError
from catran_causalbench.training.run_directory import RunDirectory


class CheckpointFile(CheckpointIO):
    """A checkpoint as a file in the run directory."""

    def __init__(self, directory: RunDirectory) -> None:
        self._directory = directory

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Write the file atomically."""
        content = io.BytesIO()
        torch.save({**checkpoint, "run_identity": self._directory.run_identity}, content)
        self._directory.write(Path(path).name, content.getvalue())

    def load_checkpoint(
        self, path: Any, map_location: Any | None = None, weights_only: bool | None = True
    ) -> dict[str, Any]:
        """Read tensors and plain values; nothing else is unpickled.

        Raises
        ------
        InputError
            The file is damaged, holds anything else, or belongs to another run.
        """
        try:
            with zipfile.ZipFile(path) as archive:
                if (damaged := archive.testzip()) is not None:  # torch does not verify the checksums
                    raise zipfile.BadZipFile(f"{damaged} is damaged")
            checkpoint = torch.load(path, map_location="cpu", weights_only=True)
            if checkpoint["run_identity"] != self._directory.run_identity:
                raise ValueError("it belongs to another run")
        except Exception as error:  # torch and pickle raise nearly everything on a damaged file
            reason = str(error).partition("\n")[0].partition(". ")[0] or type(error).__name__
            found = f"{path}, which is no checkpoint of this run ({reason})"
            expected = "the run's own; delete the file and start again to train from the first epoch"
            raise InputError.of("output.run_directory", found, expected) from None
        return checkpoint

    def remove_checkpoint(self, path: Any) -> None:
        """Delete the file."""
        Path(path).unlink(missing_ok=True)
