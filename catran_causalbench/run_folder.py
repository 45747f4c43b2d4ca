"""The folder a run writes to, when the user names one: settings, logs, checkpoint, edges."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catran_causalbench.config import CatranConfig
from catran_causalbench.dataset import PerturbationDataset
from catran_causalbench.errors import InputError

if TYPE_CHECKING:
    import pandas as pd
    from pytorch_lightning import Callback
    from pytorch_lightning.loggers import Logger

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunFolder:
    """Paths inside a run folder, and the identity of the run it belongs to.

    Attributes
    ----------
    path
        The folder.
    run_identity
        Digest of the data, the settings and the seed: what must agree for a run to be continued.
    """

    path: Path
    run_identity: str

    @classmethod
    def prepare(cls, config: CatranConfig, dataset: PerturbationDataset, seed: int) -> RunFolder | None:
        """Make the folder and note the settings, or return None where the user named no folder.

        Raises
        ------
        InputError
            Where the folder cannot be written to or belongs to another run.
        """
        if not config.output.run_folder:
            return None
        folder = cls(Path(config.output.run_folder), _run_identity(config, dataset, seed))
        try:
            folder.path.mkdir(parents=True, exist_ok=True)
            folder._claim()
            _write_atomically(folder.path / "config.yaml", lambda path: path.write_text(config.to_yaml()))
        except OSError as error:
            found = f"{folder.path}, which cannot be written to ({error.strerror})"
            raise InputError.of("output.run_folder", found, "a writable folder") from None
        return folder

    def _claim(self) -> None:
        mark = self.path / "run_identity.txt"
        if mark.exists() and mark.read_text() != self.run_identity:
            found = f"{self.path}, which holds a run with other data, settings or seed"
            raise InputError.of("output.run_folder", found, "a new folder, or the same run to continue it")
        _write_atomically(mark, lambda path: path.write_text(self.run_identity))

    @property
    def checkpoint(self) -> Path:
        """The state after the last finished epoch."""
        return self.path / "last.ckpt"

    def checkpoint_to_resume(self) -> Path | None:
        """Return the checkpoint to continue from, if there is one."""
        if not self.checkpoint.exists():
            return None
        _LOG.info("Continuing the run in %s from its last finished epoch.", self.path)
        return self.checkpoint

    def loggers(self) -> list[Logger]:
        """CSV and TensorBoard logs of the losses, in a folder for each time the run is started."""
        from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger

        start = f"start_{len(list(self.path.glob('logs/start_*')))}"
        return [logger(self.path, name="logs", version=start) for logger in (CSVLogger, TensorBoardLogger)]

    def callbacks(self) -> list[Callback]:
        """One callback, which keeps the checkpoint up to date."""
        from pytorch_lightning import Callback

        class KeepLastCheckpoint(Callback):
            """Save after every epoch; a run killed while saving keeps the state before."""

            def on_train_epoch_end(callback, trainer: Any, module: Any) -> None:
                _write_atomically(self.checkpoint, trainer.save_checkpoint)

        return [KeepLastCheckpoint()]

    def write_edges(self, edges: pd.DataFrame) -> None:
        """Write ``edges.csv``."""
        _write_atomically(self.path / "edges.csv", lambda path: edges.to_csv(path, index=False))


def _run_identity(config: CatranConfig, dataset: PerturbationDataset, seed: int) -> str:
    digest = hashlib.sha256()
    settings = {name: section for name, section in asdict(config).items() if name != "output"}
    digest.update(repr((settings, seed, dataset.gene_names)).encode())
    digest.update(dataset.intervention.tobytes())
    digest.update(dataset.expression.data)
    return digest.hexdigest()


def _write_atomically(path: Path, write: Callable[[Path], Any]) -> None:
    temporary = path.with_name(f".{path.name}.part")
    write(temporary)
    os.replace(temporary, path)
