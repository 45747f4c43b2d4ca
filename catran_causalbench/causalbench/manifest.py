"""The files that the harness reads from a data directory, and whether they are there, whole and of the right form."""

from __future__ import annotations

import gzip
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from catran_causalbench.causalbench.npz import UNREADABLE
from catran_causalbench.utils.checks import Check

_GET_IT = "catran-causalbench download gets it; simulate and datadir make whole directories without it"
_BLOCK = 2**20


class _Content(Protocol):
    """What the tables are read from: plain, gzipped and zipped files."""

    def readline(self) -> bytes: ...

    def read(self, size: int) -> bytes: ...


@dataclass(frozen=True)
class _DataFile:
    """What a file is for, whether a run can do without it, and a look inside: the parts that it lacks."""

    purpose: str
    lacking: Callable[[Path], list[str]]
    optional: bool = False


def check_data_directory(folder: Path) -> list[Check]:
    """Look for every file that causalbench 1.1.2 reads, and into each.

    Of the expression files only the index is read: the real ones hold 10 GB each.
    """
    return [_check_file(folder / name, file) for name, file in _DATA_FILES.items()]


def fault_inside(path: Path, name: str) -> str:
    """Say what the beginning of a file lacks to be the harness's file of that name.

    Empty where it lacks nothing, or where the harness reads no file of that name.
    """
    check = _check_file(path, _DATA_FILES[name]) if name in _DATA_FILES else None
    return check.found if check and not check.passed else ""


def _check_file(path: Path, file: _DataFile) -> Check:
    if not path.exists():
        advice = "" if file.optional else _GET_IT
        return Check(path.name, None if file.optional else False, f"missing: {file.purpose}", advice)
    size = path.stat().st_size
    if not size:
        return Check(path.name, False, "0 bytes, a download that failed", f"Delete it; {_GET_IT}")
    try:
        lacking = file.lacking(path)
    except UNREADABLE as error:
        return Check(path.name, False, f"cannot be read ({error})", f"Delete it; {_GET_IT}")
    if lacking:
        return Check(path.name, False, f"lacks {', '.join(lacking)}", f"Delete it; {_GET_IT}")
    return Check(path.name, True, f"{size / 1e6:,.1f} MB")


def _annotated(path: Path) -> list[str]:
    import h5py

    with h5py.File(path, "r") as file:
        # The columns of obs and var are the members of groups by these names.
        return [part for part in ("obs/gene_id", "var/gene_name", "X") if part not in file]


def _arrays(path: Path) -> list[str]:
    with zipfile.ZipFile(path) as archive:
        return _absent(archive, ("expression_matrix.npy", "var_names.npy", "interventions.npy"))


def _workbook(path: Path) -> list[str]:
    with zipfile.ZipFile(path) as archive:
        return _absent(archive, ("xl/workbook.xml",))


def _absent(archive: zipfile.ZipFile, names: tuple[str, ...]) -> list[str]:
    return [name for name in names if name not in archive.namelist()]


def _zipped_table(*columns: str) -> Callable[[Path], list[str]]:
    def lacking(path: Path) -> list[str]:
        with zipfile.ZipFile(path) as archive, archive.open(archive.namelist()[0]) as content:
            return _absent_columns(content, "\t", columns)

    return lacking


def _gzipped_table(separator: str, *columns: str) -> Callable[[Path], list[str]]:
    def lacking(path: Path) -> list[str]:
        with gzip.open(path) as content:
            return _absent_columns(content, separator, columns)

    return lacking


def _table(*columns: str) -> Callable[[Path], list[str]]:
    def lacking(path: Path) -> list[str]:
        with path.open("rb") as content:
            return _absent_columns(content, "\t", columns)

    return lacking


def _absent_columns(content: _Content, separator: str, columns: tuple[str, ...]) -> list[str]:
    heading = content.readline().decode().rstrip("\r\n").split(separator)
    while content.read(_BLOCK):
        pass  # a packed file that was cut off shows it at its end only
    return [f"column {column!r}" for column in columns if column not in heading]


_EXPRESSION = "the harness takes genes and their names from it, whichever data set is run"
_EXTRACT = "the harness makes it from the .h5ad at its first run"
_FILTERED = "the harness makes it from the .h5ad at its first run with --do_filter"
_DATA_FILES = {
    "k562.h5ad": _DataFile(_EXPRESSION, _annotated),
    "rpe1.h5ad": _DataFile(_EXPRESSION, _annotated),
    "dataset_k562.npz": _DataFile(_EXTRACT, _arrays, optional=True),
    "dataset_rpe1.npz": _DataFile(_EXTRACT, _arrays, optional=True),
    "dataset_k562_filtered.npz": _DataFile(_FILTERED, _arrays, optional=True),
    "dataset_rpe1_filtered.npz": _DataFile(_FILTERED, _arrays, optional=True),
    "summary_stats.xlsx": _DataFile("only runs with --do_filter read it", _workbook, optional=True),
    "corum_complexes.txt.zip": _DataFile("protein complexes", _zipped_table("subunits(Gene name)")),
    "human_lr_pair.txt": _DataFile(
        "ligand and receptor pairs",
        _table("ligand_gene_symbol", "ligand_ensembl_gene_id", "receptor_ensembl_gene_id"),
    ),
    "protein.links.txt.gz": _DataFile("STRING's network", _gzipped_table(" ", "protein1", "protein2")),
    "protein.physical.links.txt.gz": _DataFile(
        "STRING's physical network", _gzipped_table(" ", "protein1", "protein2")
    ),
    "protein.info.txt.gz": _DataFile(
        "names of STRING's proteins", _gzipped_table("\t", "#string_protein_id", "preferred_name")
    ),
}
