"""The formats of a benchmark directory's small files; the same content always gives the same bytes."""

from __future__ import annotations

import csv
import io
import re
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from catran_causalbench.data.dataset import CONTROL_LABEL


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


def write_h5ad(path: Path, gene_ids: Sequence[str], gene_names: Sequence[str], title: str) -> None:
    """Write the smallest .h5ad from which CausalBench reads the perturbed genes and their names."""
    import anndata
    import pandas as pd
    from scipy import sparse

    obs = pd.DataFrame({"gene_id": [*gene_ids, CONTROL_LABEL], "gene": [*gene_names, CONTROL_LABEL]})
    anndata.AnnData(
        X=sparse.csr_matrix((len(obs), len(gene_ids)), dtype=np.float32),
        obs=obs.set_index(obs.index.astype(str)),
        var=pd.DataFrame({"gene_name": list(gene_names)}, index=pd.Index(list(gene_ids))),
        uns={"origin": title},
    ).write_h5ad(path)
