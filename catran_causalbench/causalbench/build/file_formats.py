"""The formats of a benchmark directory's small files; the same content always gives the same bytes."""

from __future__ import annotations

import csv
import io
import re
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd


def table_bytes(separator: str, heading: Sequence[str], rows: Iterable[Sequence[Any]]) -> bytes:
    """Return a table as text."""
    text = io.StringIO()
    writer = csv.writer(text, delimiter=separator, lineterminator="\n")
    writer.writerow(heading)
    writer.writerows(rows)
    return text.getvalue().encode()


def zip_bytes(files: Mapping[str, bytes]) -> bytes:
    """Return a .zip archive; a `ZipInfo` without a date gives the first day of 1980."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def npz_bytes(**arrays: np.ndarray) -> bytes:
    """Return an .npz archive."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def workbook_bytes(sheets: Sequence[str], heading: Sequence[str]) -> bytes:
    """Return an .xlsx workbook whose sheets hold a heading only."""
    import openpyxl

    workbook = openpyxl.Workbook()
    workbook.remove(workbook.worksheets[0])
    for name in sheets:
        workbook.create_sheet(name).append(list(heading))
    buffer = io.BytesIO()
    workbook.save(buffer)
    with zipfile.ZipFile(buffer) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    # The properties hold the times of creation and change.
    properties = "docProps/core.xml"
    parts[properties] = re.sub(rb"\d{4}-\d\d-\d\dT[\d:.]+Z", b"1980-01-01T00:00:00Z", parts[properties])
    return zip_bytes(parts)


def h5ad_bytes(var: pd.DataFrame, labels: pd.DataFrame, title: str = "") -> bytes:
    """Return the smallest .h5ad from which CausalBench reads the perturbed genes and the names of all genes.

    It is made in memory because HDF5 ends the process when a disk is full.

    Parameters
    ----------
    var
        The names of the genes: ids as index, and the column ``gene_name``.
    labels
        A row for each label of the cells: ``gene_id`` and ``gene``, the perturbed gene's id and symbol.
    title
        What the file says about its origin.
    """
    import anndata
    import h5py
    from anndata.io import write_elem
    from scipy import sparse

    names = anndata.AnnData(
        X=sparse.csr_matrix((len(labels), len(var)), dtype=np.float32),
        obs=labels.set_index(np.arange(len(labels)).astype(str)),
        var=var,
        uns={"origin": title} if title else {},
    )
    names.strings_to_categoricals()
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        write_elem(file, "/", names)
    return buffer.getvalue()
