"""Which data set of a benchmark directory is meant, and the training regimes, by CausalBench's own names."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from catran_causalbench.causalbench.manifest import check_data_directory, dataset_file
from catran_causalbench.causalbench.npz import read_npz
from catran_causalbench.errors import InputError
from catran_causalbench.utils.validation import Validated, choice

DATASET_NAMES = ("weissmann_rpe1", "weissmann_k562")
OBSERVATIONAL, PARTIAL, INTERVENTIONAL = REGIMES = ("observational", "partial_interventional", "interventional")


@dataclass(frozen=True)
class DatasetSpec(Validated):
    """One of the data sets of a benchmark directory.

    Attributes
    ----------
    dataset_name
        ``weissmann_rpe1`` or ``weissmann_k562``.
    do_filter
        Whether only strong perturbations are kept.
    """

    dataset_name: str = choice(*DATASET_NAMES)
    do_filter: bool = False

    def path(self, folder: Path) -> Path:
        """Return the path of the file with the cells."""
        return folder / dataset_file(self.dataset_name.removeprefix("weissmann_"), self.do_filter)

    def check(self, folder: Path) -> Path:
        """Return the path of the file with the cells if the directory has everything that CausalBench reads.

        Raises
        ------
        InputError
            Naming the first file that is missing or damaged.
        """
        path = self.path(folder)
        if not path.is_file():
            expected = "the file, which CausalBench writes at its first run"
            raise InputError.of("data", f"no {path.name} in {str(folder)!r}", expected)
        for check in check_data_directory(folder):
            if check.passed is False:
                raise InputError.of("data", f"{check.name} in {str(folder)!r}: {check.found}", "an intact file")
        return path

    def num_genes(self, folder: Path) -> int:
        """Count the genes without reading the cells; raise InputError where their names cannot be read."""
        return read_npz(self.path(folder), ["var_names"])["var_names"].size

    def digest(self, folder: Path) -> str:
        """Return a fingerprint of the file with the cells."""
        digest = hashlib.sha256()
        with self.path(folder).open("rb") as file:
            while block := file.read(2**24):
                digest.update(block)
        return digest.hexdigest()
