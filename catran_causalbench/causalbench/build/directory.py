"""Benchmark directories that `causalbench_run` reads without downloading anything."""

from __future__ import annotations

import gzip
import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from catran_causalbench.causalbench.build.file_formats import h5ad_bytes, table_bytes, workbook_bytes, zip_bytes
from catran_causalbench.causalbench.manifest import (
    CORUM,
    DATASET_FILES,
    EXPRESSION_FILES,
    FILES,
    LIGAND_RECEPTOR,
    NETWORK_FILES,
    STRING_NETWORK,
    STRING_PHYSICAL,
    STRING_PROTEINS,
    SUMMARY,
    SUMMARY_COLUMNS,
    SUMMARY_SHEETS,
)
from catran_causalbench.causalbench.metadata import DESCRIPTION, MADE_BY, README, find_metadata
from catran_causalbench.causalbench.npz import write_cells
from catran_causalbench.data.dataset import CONTROL_LABEL, EXCLUDED_LABEL
from catran_causalbench.errors import InputError
from catran_causalbench.utils.atomic_io import atomic_directory, check_replaceable, check_writable, link_or_copy
from catran_causalbench.utils.validation import shown

if TYPE_CHECKING:
    import pandas as pd

FORMAT_VERSION = 2
# A fifth is held out, so five cells of a label leave one for evaluation.
FEWEST_CELLS = 5

Pairs = Sequence[tuple[int, int]]


@dataclass(frozen=True)
class Dataset:
    """C cells with G genes, as CausalBench gives them to a model."""

    expression: NDArray[np.float32]  # (C, G), log-normalised
    gene_ids: Sequence[str]  # (G,): names of the columns
    gene_names: Sequence[str]  # (G,): symbols, by which the reference networks know the genes
    labels: NDArray[np.str_]  # (C,): id of the perturbed gene, non-targeting or excluded


@dataclass(frozen=True)
class References:
    """Reference networks that CausalBench evaluates against, as columns of the matrix; direction is ignored."""

    complexes: Sequence[Sequence[int]] = ()  # protein complexes, as in CORUM
    ligand_receptor: Pairs = ()  # as in CellTalkDB
    string_network: Pairs = ()
    string_physical: Pairs = ()


@dataclass(frozen=True)
class Origin:
    """The origin of a data set, which is stored in every file that can hold it."""

    title: str  # one line that names the data wherever their results are shown
    simulated: bool
    details: Mapping[str, Any] = field(default_factory=dict)  # further entries of description.json


def write_benchmark_directory(
    directory: str | os.PathLike[str],
    dataset: Dataset,
    references: References,
    origin: Origin,
    extra_files: Mapping[str, bytes] | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a data set and its reference networks as a benchmark directory, atomically; return its absolute path.

    CausalBench asks for a K562 and an RPE1 data set, each also filtered for `--do_filter`; all four are the one given.
    CausalBench does not read the `extra_files` (name → content).

    Raises
    ------
    InputError
        The directory cannot be written (see :func:`check_directory`), or CausalBench could not use the data set.
    """
    directory = check_directory(directory, overwrite)
    _check_dataset(dataset)
    files = {**_tables(dataset, references), **(extra_files or {})}
    names = sorted([*DATASET_FILES, *EXPRESSION_FILES, *files, DESCRIPTION, README])
    files |= _description_files(dataset, references, origin, [DESCRIPTION, *(extra_files or {})], names)
    directory.parent.mkdir(parents=True, exist_ok=True)
    with atomic_directory(directory) as made:
        for name, content in files.items():
            (made / name).write_bytes(content)
        write_cells(
            made / DATASET_FILES[0],
            [dataset.expression],
            dataset.expression.shape,
            np.dtype(np.float32),
            dataset.gene_ids,
            dataset.labels,
            origin=origin.title,
            simulated=origin.simulated,
        )
        (made / EXPRESSION_FILES[0]).write_bytes(h5ad_bytes(*_names(dataset), origin.title))
        for first, *others in (DATASET_FILES, EXPRESSION_FILES):
            for name in others:
                link_or_copy(made / first, made / name)
    return directory


def _names(dataset: Dataset) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the names of the genes and of the labels, as :func:`h5ad_bytes` takes them."""
    import pandas as pd

    ids, names = list(dataset.gene_ids), list(dataset.gene_names)
    labels = pd.DataFrame({"gene_id": [*ids, CONTROL_LABEL], "gene": [*names, CONTROL_LABEL]})
    return pd.DataFrame({"gene_name": names}, index=pd.Index(ids)), labels


def check_directory(directory: str | os.PathLike[str], overwrite: bool) -> Path:
    """Return the absolute path of a directory if a benchmark directory may be written there.

    Raise InputError if it is a file or a directory that is not empty (with `overwrite`: that this package did not
    make), or if nothing can be written there.
    """
    path = Path(directory).absolute()
    existing = next(parent for parent in path.parents if os.path.exists(parent))  # missing directories will be made
    check_writable(existing / path.name)
    made_here = find_metadata(path).get("files") if path.is_dir() else None
    ours = (*made_here, *NETWORK_FILES) if isinstance(made_here, list) else ()
    check_replaceable(path, "directory", ours, overwrite)
    return path


def _check_dataset(dataset: Dataset) -> None:
    shape, ids = dataset.expression.shape, list(dataset.gene_ids)
    if shape != (len(dataset.labels), len(ids)) or len(dataset.gene_names) != len(ids):
        lengths = f"{len(dataset.labels)} labels, {len(ids)} gene_ids and {len(dataset.gene_names)} gene_names"
        raise InputError.of("expression", f"shape {shape}", f"cells × genes for {lengths}")
    if not np.isfinite(dataset.expression).all():
        raise InputError.of("expression", "NaN or infinite values", "finite numbers")
    if len(ids) < 2 or len(set(ids)) < len(ids):
        raise InputError.of("gene_ids", f"{len(ids)}, {len(set(ids))} of them distinct", "at least 2, each once")
    for name in [*ids, *dataset.gene_names]:
        if re.search(r'[\s;"]', name):
            expected = "no space, quote or semicolon, which break CausalBench's tables"
            raise InputError.of("gene_names", shown(name), expected)
    cells_of = Counter(np.sort(dataset.labels).tolist())
    for label in [CONTROL_LABEL, *ids, *cells_of]:
        if label not in {CONTROL_LABEL, EXCLUDED_LABEL, *ids} or cells_of[label] < FEWEST_CELLS:
            found = f"{cells_of[label]} cells of {label!r}"
            needed = f"{FEWEST_CELLS} or more of each gene of the matrix and of {CONTROL_LABEL!r}"
            raise InputError.of("labels", found, f"{needed}, and no other label but {EXCLUDED_LABEL!r}")


def _tables(dataset: Dataset, references: References) -> dict[str, bytes]:
    """Return the files of the reference networks, and the summary, of which CausalBench needs the headings only."""
    ids, names = dataset.gene_ids, dataset.gene_names
    proteins = [f"9606.{gene}" for gene in ids]

    def table(name: str, rows: Iterable[Sequence[str]]) -> bytes:
        return table_bytes(FILES[name].separator, FILES[name].parts, rows)

    def links(name: str, pairs: Pairs) -> bytes:
        rows = ([proteins[i], proteins[j]] for i, j in pairs)
        return gzip.compress(table(name, rows), mtime=0)  # not the current time, so that the bytes are the same

    complexes = table(CORUM, ([";".join(names[i] for i in group)] for group in references.complexes))
    return {
        CORUM: zip_bytes({"humanComplexes.txt": complexes}),
        LIGAND_RECEPTOR: table(LIGAND_RECEPTOR, ([names[i], ids[i], ids[j]] for i, j in references.ligand_receptor)),
        STRING_NETWORK: links(STRING_NETWORK, references.string_network),
        STRING_PHYSICAL: links(STRING_PHYSICAL, references.string_physical),
        STRING_PROTEINS: gzip.compress(table(STRING_PROTEINS, zip(proteins, names, strict=True)), mtime=0),
        SUMMARY: workbook_bytes([*SUMMARY_SHEETS.values()], SUMMARY_COLUMNS),
    }


def _description_files(
    dataset: Dataset, references: References, origin: Origin, extra_files: Sequence[str], files: Sequence[str]
) -> dict[str, bytes]:
    controls, excluded = (int((dataset.labels == label).sum()) for label in (CONTROL_LABEL, EXCLUDED_LABEL))
    cells, genes = dataset.expression.shape
    description = {
        "title": origin.title,
        "simulated": origin.simulated,
        "made_by": MADE_BY,
        "format_version": FORMAT_VERSION,
        "files": files,
        "shape": {"cells": cells, "genes": genes, "controls": controls, "excluded": excluded},
        "references": {network.name: len(getattr(references, network.name)) for network in fields(references)},
        **origin.details,
    }
    readme = f"""{origin.title}

A data directory for CausalBench (causalbench_run --data_directory), made by {MADE_BY}.
{cells} cells × {genes} genes; {controls} control cells, {excluded} excluded ones.

CausalBench asks for a K562 and an RPE1 data set, each also filtered for --do_filter. All four are the same here, so the
result does not depend on the choice. The .h5ad files hold the names of the genes but no expression, and {SUMMARY}
holds headings only, because CausalBench reads nothing else from them. Empty reference networks hold headings only, and
their scores are 0. ChIP-seq comes with CausalBench and has real gene symbols only.
Files that CausalBench does not read: {", ".join(extra_files)}.
"""
    text = json.dumps(description, indent=2, ensure_ascii=False) + "\n"
    return {DESCRIPTION: text.encode(), README: readme.encode()}
