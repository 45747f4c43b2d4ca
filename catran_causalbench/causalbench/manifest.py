"""The files that causalbench 1.1.2 reads (`causalscbench.data_access`), and whether they are present and intact."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from catran_causalbench.causalbench.npz import CELL_ARRAYS, UNREADABLE
from catran_causalbench.utils.checks import Check

EXPRESSION_FILES = ("k562.h5ad", "rpe1.h5ad")
DATASET_FILES = ("dataset_k562.npz", "dataset_rpe1.npz", "dataset_k562_filtered.npz", "dataset_rpe1_filtered.npz")
# Ours, one beside each of them: the reference networks among its genes (see `network_cache`).
NETWORK_FILES = tuple(name.replace("dataset", "networks") for name in DATASET_FILES)
SUMMARY = "summary_stats.xlsx"
SUMMARY_SHEETS = {"k562": "TabB_K562_day6_summary_stat", "rpe1": "TabC_RPE1_summary_statistic"}
SUMMARY_COLUMNS = (
    "genetic perturbation",
    "Number of DEGs (anderson-darling)",
    "percent knockdown",
    "number of cells (filtered)",
)
REFERENCE_FILES = CORUM, LIGAND_RECEPTOR, STRING_NETWORK, STRING_PHYSICAL, STRING_PROTEINS = (
    "corum_complexes.txt.zip",
    "human_lr_pair.txt",
    "protein.links.txt.gz",
    "protein.physical.links.txt.gz",
    "protein.info.txt.gz",
)

_ADVICE = "catran-causalbench download fetches it; simulate and convert make complete directories without it"
_BLOCK = 2**20


@dataclass(frozen=True)
class DataFile:
    """One file of a data directory, and what it must hold."""

    name: str
    purpose: str  # what CausalBench takes from it
    parts: tuple[str, ...]  # columns of a table, members of any other file
    separator: str = ""  # between the columns of a table; empty for other files
    optional: bool = False  # whether a run can do without it
    least_bytes: int = 0  # the real file is larger; 0 where others of any size may stand in for it


_EXPRESSION_PARTS = ("obs/gene_id", "var/gene_name", "X")
_ARRAYS = tuple(f"{array}.npy" for array in CELL_ARRAYS)
_FIRST_RUN = "made from the .h5ad by catran-causalbench prepare, or by CausalBench at its first run"
_STRENGTH = "strength of the perturbations, for --do_filter only"
_LIGAND_COLUMNS = ("ligand_gene_symbol", "ligand_ensembl_gene_id", "receptor_ensembl_gene_id")
_LINK_COLUMNS = ("protein1", "protein2")
_PROTEIN_COLUMNS = ("#string_protein_id", "preferred_name")
FILES = {
    file.name: file
    for file in (
        *(DataFile(name, "genes and their names, always read", _EXPRESSION_PARTS) for name in EXPRESSION_FILES),
        *(DataFile(name, _FIRST_RUN, _ARRAYS, optional=True) for name in DATASET_FILES[:2]),
        *(DataFile(name, f"{_FIRST_RUN} with --do_filter", _ARRAYS, optional=True) for name in DATASET_FILES[2:]),
        DataFile(SUMMARY, _STRENGTH, ("xl/workbook.xml",), optional=True, least_bytes=100_000),
        DataFile(CORUM, "protein complexes", ("subunits(Gene name)",), "\t", least_bytes=100_000),
        DataFile(LIGAND_RECEPTOR, "ligand and receptor pairs", _LIGAND_COLUMNS, "\t", least_bytes=100_000),
        DataFile(STRING_NETWORK, "STRING's network", _LINK_COLUMNS, " ", least_bytes=50_000_000),
        DataFile(STRING_PHYSICAL, "STRING's physical network", _LINK_COLUMNS, " ", least_bytes=3_000_000),
        DataFile(STRING_PROTEINS, "names of STRING's proteins", _PROTEIN_COLUMNS, "\t", least_bytes=500_000),
    )
}


def dataset_file(cell_line: str, filtered: bool = False) -> str:
    """Return the name of the file with the cells of ``k562`` or ``rpe1``."""
    return f"dataset_{cell_line}{'_filtered' * filtered}.npz"


def check_data_directory(directory: Path, genuine: bool = False) -> list[Check]:
    """Check every file; of expression files, which may hold 10 GB each, only the index is read.

    ``genuine`` files have to be CausalBench's own: a small one of the same format, which makes scores meaningless,
    does not pass.
    """
    checks = []
    for name, file in FILES.items():
        path = directory / name
        if not path.exists():
            passed, advice = (None, "") if file.optional else (False, _ADVICE)
            checks.append(Check(name, passed, f"missing: {file.purpose}", advice))
        elif fault := find_fault(path, name) or genuine * find_stub(path, name):
            checks.append(Check(name, False, fault, f"Delete it; {_ADVICE}"))
        else:
            checks.append(Check(name, True, f"{path.stat().st_size / 1e6:,.1f} MB"))
    return checks


def find_fault(path: Path, name: str) -> str:
    """Return why a file cannot be CausalBench's file of that name; empty if it can, or for any other name."""
    if name not in FILES:
        return ""
    if not path.stat().st_size:
        return "0 bytes, from a failed download"
    file = FILES[name]
    try:
        present = _parts(path, file)
    except UNREADABLE as error:
        return f"cannot be read ({error})"
    kind = "column " if file.separator else ""
    lacking = [f"{kind}{part!r}" for part in file.parts if part not in present]
    return f"lacks {', '.join(lacking)}" if lacking else ""


def find_stub(path: Path, name: str) -> str:
    """Return that a file is too small to be CausalBench's own file of that name; empty if it is not."""
    size = path.stat().st_size
    if name not in FILES or size >= FILES[name].least_bytes:
        return ""
    return f"a stub of {size:,} bytes; the real file has more than {FILES[name].least_bytes:,}"


def _parts(path: Path, file: DataFile) -> list[str]:
    """Return the names of a file's members, or of a table's columns."""
    ending = file.name.rpartition(".")[2]  # of the name that the file will have: a download ends in .part
    if ending == "h5ad":
        import h5py

        with h5py.File(path, "r") as content:
            return [part for part in file.parts if part in content]
    if not file.separator:
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    if ending == "zip":
        with zipfile.ZipFile(path) as archive, archive.open(archive.namelist()[0]) as table:
            return _columns(table, file.separator)
    import pyarrow

    # Python's own gzip holds up other threads while it unpacks.
    compression = "gzip" if ending == "gz" else None
    with io.BufferedReader(pyarrow.input_stream(str(path), compression), _BLOCK) as table:
        return _columns(table, file.separator)


def _columns(table: Any, separator: str) -> list[str]:
    heading = table.readline().decode().rstrip("\r\n").split(separator)
    while table.read(_BLOCK):
        pass  # an incomplete compressed file fails at its end only
    return heading
