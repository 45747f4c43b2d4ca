"""Which data set of a directory is meant, and the regimes of training, by the harness's own names."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from catran_causalbench.causalbench.manifest import check_data_directory
from catran_causalbench.causalbench.npz import read_npz
from catran_causalbench.errors import InputError

DATASET_NAMES = ("weissmann_rpe1", "weissmann_k562")
OBSERVATIONAL, PARTIAL, INTERVENTIONAL = REGIMES = ("observational", "partial_interventional", "interventional")


@dataclass(frozen=True)
class DatasetSpec:
    """One of the data sets of a directory.

    Attributes
    ----------
    dataset_name
        ``weissmann_rpe1`` or ``weissmann_k562``.
    do_filter
        Whether the one with strong perturbations only is meant.
    """

    dataset_name: str = DATASET_NAMES[0]
    do_filter: bool = False

    def __post_init__(self) -> None:
        if self.dataset_name not in DATASET_NAMES:
            raise InputError.of("dataset_name", repr(self.dataset_name), f"one of {', '.join(DATASET_NAMES)}")
        if not isinstance(self.do_filter, bool):
            raise InputError.of("do_filter", repr(self.do_filter), "true or false")

    def path(self, folder: Path) -> Path:
        """Name the file with the cells."""
        line = self.dataset_name.removeprefix("weissmann_")
        return folder / f"dataset_{line}{'_filtered' * self.do_filter}.npz"

    def check(self, folder: Path) -> Path:
        """Return the file with the cells if the directory has all that the harness reads.

        Raises
        ------
        InputError
            Naming the first file that is missing or broken.
        """
        path = self.path(folder)
        if not path.is_file():
            raise InputError.of(
                "data", f"no {path.name} in {str(folder)!r}", "the file, which the harness makes at its first run"
            )
        for check in check_data_directory(folder):
            if check.passed is False:
                raise InputError.of("data", f"{check.name} in {str(folder)!r}: {check.found}", "a whole file")
        return path

    def num_genes(self, folder: Path) -> int:
        """Count the genes without reading the cells.

        Raises
        ------
        InputError
            Their names cannot be read.
        """
        return read_npz(self.path(folder), ["var_names"])["var_names"].size

    def digest(self, folder: Path) -> str:
        """Fingerprint of the file with the cells."""
        with self.path(folder).open("rb") as file:
            digest = hashlib.sha256()
            while block := file.read(2**24):
                digest.update(block)
        return digest.hexdigest()
