"""Which data set of a benchmark directory is meant, and the training regimes, by CausalBench's own names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from catran_causalbench.causalbench.known_truth import is_known_truth, read_known_truth
from catran_causalbench.causalbench.manifest import check_data_directory, dataset_file
from catran_causalbench.causalbench.npz import read_npz
from catran_causalbench.errors import InputError
from catran_causalbench.utils.validation import Validated, choice

DATASET_NAMES = ("weissmann_rpe1", "weissmann_k562")
OBSERVATIONAL, PARTIAL, INTERVENTIONAL = REGIMES = ("observational", "partial_interventional", "interventional")


@dataclass(frozen=True)
class DatasetSpec(Validated):
    """One of the data sets of a benchmark directory; ``do_filter`` keeps strong perturbations only.

    An .npz with known truth (see :mod:`~catran_causalbench.causalbench.known_truth`) is a data set of its own.
    """

    dataset_name: str = choice(*DATASET_NAMES)
    do_filter: bool = False

    def path(self, directory: Path) -> Path:
        """Return the path of the file with the cells."""
        if is_known_truth(directory):
            return directory
        return directory / dataset_file(self.dataset_name.removeprefix("weissmann_"), self.do_filter)

    def find(self, directory: Path) -> Path:
        """Return the path of the file with the cells; raise InputError if there is none."""
        path = self.path(directory)
        if not path.is_file():
            expected = "the file, which catran-causalbench prepare makes of CausalBench's data"
            if is_known_truth(directory):
                expected = "a file with known truth"
            raise InputError.of("data", f"no {path.name} in {str(path.parent)!r}", expected)
        return path

    def check(self, directory: Path) -> None:
        """Raise InputError if any file is missing or damaged."""
        path = self.find(directory)
        if is_known_truth(directory):
            read_known_truth(path)
            return
        for check in check_data_directory(directory):
            if check.passed is False:
                raise InputError.of("data", f"{check.name} in {str(directory)!r}: {check.found}", "an intact file")

    def num_genes(self, directory: Path) -> int:
        """Count the genes without reading the cells; raise InputError if their names cannot be read."""
        path = self.path(directory)
        names = "names" if is_known_truth(directory) else "var_names"
        return read_npz(path, [names])[names].size
