"""The directory, if the user names one, that a run writes to: settings, logs, checkpoint, edges."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

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

_IDENTITY = "run_identity.txt"
_FIELD = "output.run_directory"


@dataclass(frozen=True)
class RunDirectory:
    """A directory, and the digest of code, data, settings and seed that must agree for a run to be continued there."""

    path: Path
    run_identity: str

    @classmethod
    @contextmanager
    def prepare(
        cls, path: str, settings: Mapping[str, Any], dataset: PerturbationDataset, seed: int
    ) -> Iterator[RunDirectory | None]:
        """Make the directory, lock it and write the settings; yield None where the path is empty.

        The settings are plain values; their section ``output`` does not count for the identity of the run.

        Raises
        ------
        InputError
            The directory cannot be written to, belongs to another run, or is locked by another process.
        """
        if not path:
            yield None
            return
        directory = cls(Path(path), _run_identity(settings, dataset, seed))
        with lock_directory(directory.path, _FIELD, "run") if is_main_process() else nullcontext():
            directory._write_identity(settings)
            yield directory

    def _write_identity(self, settings: Mapping[str, Any]) -> None:
        import yaml

        path, identity = self.path / _IDENTITY, self.run_identity.encode()
        try:
            if path.exists() and path.read_bytes() != identity:
                found = f"{self.path}, which holds a run with other data, settings or seed, or of another version"
                raise InputError.of(_FIELD, found, "a new directory, or the same run to continue it")
            self.write(_IDENTITY, identity)
            self.write("config.yaml", yaml.safe_dump(dict(settings), sort_keys=False).encode())
        except OSError as error:
            found = f"{self.path}, which cannot be written to ({error.strerror or error})"
            raise InputError.of(_FIELD, found, "a writable directory") from None

    @property
    def checkpoint(self) -> Path:
        """Path of the state after the last finished epoch."""
        return self.path / "last.ckpt"

    def checkpoint_to_resume(self) -> Path | None:
        """Return the checkpoint to continue from, if there is one."""
        if not self.checkpoint.exists():
            return None
        _LOG.info("Continuing the run in %s from its last finished epoch.", self.path)
        return self.checkpoint

    def loggers(self) -> list[Logger]:
        """Return loggers that write losses as CSV and for TensorBoard, each start of the run to its own directory."""
        from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger

        start = f"start_{len(list(self.path.glob('logs/start_*')))}"
        return [logger(self.path, name="logs", version=start) for logger in (CSVLogger, TensorBoardLogger)]

    def write(self, name: str, content: bytes) -> None:
        """Write a file of the directory atomically; of several processes only the main one writes.

        Raises
        ------
        OSError
            The disk is full, or the directory cannot be written to.
        """
        if is_main_process():
            # Always the same temporary name, so that the file of a killed run is overwritten.
            move_into_place(self.path / f".{name}.part", self.path / name, lambda part: part.write_bytes(content))

    @contextmanager
    def needed(self) -> Iterator[None]:
        """Raise TrainingError in place of an OSError, and say how to continue."""
        try:
            yield
        except OSError as error:
            raise TrainingError(
                f"output.run_directory: {self.path} can no longer be written to ({error.strerror or error}); make "
                "room, then start the same run again: it continues from its last finished epoch"
            ) from None

    def write_edges(self, edges: pd.DataFrame) -> None:
        """Write ``edges.csv``."""
        with self.needed():
            self.write("edges.csv", edges.to_csv(index=False).encode())


def _run_identity(settings: Mapping[str, Any], dataset: PerturbationDataset, seed: int) -> str:
    counted = {name: section for name, section in settings.items() if name != "output"}
    known = code_version(), counted, seed, dataset.gene_names, dataset.perturbation
    digest = hashlib.sha256(repr(known).encode())
    digest.update(dataset.intervention.tobytes())
    digest.update(dataset.expression.data)
    return digest.hexdigest()
