"""The folder a run writes to, when the user names one: settings, logs, checkpoint, edges."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from catran_causalbench.config import CatranConfig
from catran_causalbench.data.dataset import PerturbationDataset
from catran_causalbench.errors import InputError, TrainingError
from catran_causalbench.utils.atomic_io import move_into_place
from catran_causalbench.utils.distributed import is_main_process
from catran_causalbench.utils.fingerprint import code_version
from catran_causalbench.utils.locking import lock_directory

if TYPE_CHECKING:
    import pandas as pd
    from pytorch_lightning.loggers import Logger

_LOG = logging.getLogger(__name__)

_MARK = "run_identity.txt"
_FIELD = "output.run_directory"


@dataclass(frozen=True)
class RunDirectory:
    """Paths inside a run folder, and the identity of the run it belongs to.

    Attributes
    ----------
    path
        The folder.
    run_identity
        Digest of code, data, settings and seed: what must agree for a run to be continued.
    """

    path: Path
    run_identity: str

    @classmethod
    @contextmanager
    def prepare(cls, config: CatranConfig, dataset: PerturbationDataset, seed: int) -> Iterator[RunDirectory | None]:
        """Make the folder, hold it and note the settings; give None where the user named no folder.

        Raises
        ------
        InputError
            Where the folder cannot be written to, belongs to another run, or the same run is at work in it.
        """
        if not config.output.run_directory:
            yield None
            return
        folder = cls(Path(config.output.run_directory), _run_identity(config, dataset, seed))
        claim = lock_directory(folder.path, _FIELD, "run") if is_main_process() else nullcontext()
        with claim:
            folder._note_identity(config)
            yield folder

    def _note_identity(self, config: CatranConfig) -> None:
        mark = self.path / _MARK
        try:
            belongs_to_another_run = mark.exists() and mark.read_bytes() != self.run_identity.encode()
            if not belongs_to_another_run:
                self.write(_MARK, self.run_identity.encode())
                self.write("config.yaml", config.to_yaml().encode())
        except OSError as error:
            found = f"{self.path}, which cannot be written to ({error.strerror or error})"
            raise InputError.of(_FIELD, found, "a writable folder") from None
        if belongs_to_another_run:
            found = f"{self.path}, which holds a run with other data, settings or seed, or of another version"
            raise InputError.of(_FIELD, found, "a new folder, or the same run to continue it")

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

    def write(self, name: str, content: bytes) -> None:
        """Write a file of the folder whole, or leave the one that is there; of several processes only one writes.

        Raises
        ------
        OSError
            Where there is no room, or the folder cannot be written to.
        """
        if is_main_process():
            # The same name every time: what a killed run left is overwritten.
            move_into_place(self.path / f".{name}.part", self.path / name, lambda part: part.write_bytes(content))

    @contextmanager
    def needed(self) -> Iterator[None]:
        """Say what to do where the folder fails in the middle of a run.

        Raises
        ------
        TrainingError
            In place of an OSError.
        """
        try:
            yield
        except OSError as error:
            raise TrainingError(
                f"output.run_directory: {self.path} cannot be written to any more ({error.strerror or error}); make room, "
                "then start the same run again: it continues from its last finished epoch"
            ) from None

    def write_edges(self, edges: pd.DataFrame) -> None:
        """Write ``edges.csv``."""
        with self.needed():
            self.write("edges.csv", edges.to_csv(index=False).encode())


def _run_identity(config: CatranConfig, dataset: PerturbationDataset, seed: int) -> str:
    digest = hashlib.sha256()
    settings = {name: section for name, section in asdict(config).items() if name != "output"}
    digest.update(repr((code_version(), settings, seed, dataset.gene_names)).encode())
    digest.update(dataset.intervention.tobytes())
    digest.update(dataset.expression.data)
    return digest.hexdigest()
