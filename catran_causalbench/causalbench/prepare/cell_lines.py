"""Whether the two .h5ad files are what their names say: a wrong one would otherwise be prepared without complaint."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from catran_causalbench.causalbench.download.sources import SOURCES
from catran_causalbench.causalbench.manifest import EXPRESSION_FILES
from catran_causalbench.causalbench.prepare.expression_file import ExpressionFile
from catran_causalbench.causalbench.prepare.summary import Summary
from catran_causalbench.errors import InputError

_PUBLISHED = {source.name: source.num_bytes for source in SOURCES if source.name in EXPRESSION_FILES}


def check_cell_lines(files: Mapping[str, ExpressionFile], summaries: Mapping[str, Summary]) -> None:
    """Refuse a file that is the other one under a wrong name, or the same as the other one.

    A file is taken for the other one if it has the size of the published one, or if its numbers of cells per
    perturbation are nearer to those in the other's sheet of the summary.
    """
    first, second = files.values()
    if first.barcodes.equals(second.barcodes):
        raise InputError.of("data", f"the same cells in {first.path.name} and {second.path.name}", "two data sets")
    for line, other in zip(files, reversed([*files]), strict=True):
        file = files[line]
        swapped = file.path.stat().st_size == _PUBLISHED[files[other].path.name]
        if summaries and not swapped:
            swapped = summaries[line].distance(file) > summaries[other].distance(file)
        if swapped:
            found = f"the cells of {files[other].path.name} under the name {file.path.name}"
            raise InputError.of("data", found, "each file under its own name")


def is_published(path: Path) -> bool:
    """Return whether a file has the size of the one that CausalBench downloads."""
    return path.stat().st_size == _PUBLISHED[path.name]
