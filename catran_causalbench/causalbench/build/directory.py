"""A data directory that `causalbench_run` reads as it is, with nothing left to download.

The file names, columns and separators are those that causalbench 1.1.2 reads in `causalscbench.data_access`.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from catran_causalbench.causalbench.build.file_formats import (
    gzip_bytes,
    table_bytes,
    workbook_bytes,
    write_h5ad,
    zip_bytes,
)
from catran_causalbench.data.dataset import CONTROL_LABEL, EXCLUDED_LABEL
from catran_causalbench.errors import InputError
from catran_causalbench.utils.atomic_io import atomic_directory, check_replaceable, check_writable

MADE_BY = "catran_causalbench"
FORMAT_VERSION = 1
DESCRIPTION = "description.json"
_README = "README.txt"
_DATASETS = [f"dataset_{line}{kind}.npz" for line in ("k562", "rpe1") for kind in ("", "_filtered")]
_GENES = ["k562.h5ad", "rpe1.h5ad"]
# With a fifth held out, five cells of a label leave one to evaluate on.
FEWEST_CELLS = 5

_SUMMARY_SHEETS = ("TabB_K562_day6_summary_stat", "TabC_RPE1_summary_statistic")
_SUMMARY_COLUMNS = (
    "genetic perturbation",
    "Number of DEGs (anderson-darling)",
    "percent knockdown",
    "number of cells (filtered)",
)

Pairs = Sequence[tuple[int, int]]


@dataclass(frozen=True)
class Dataset:
    """Cells as CausalBench gives them to a model; C cells, G genes.

    Parameters
    ----------
    expression
        Shape (C, G), float32, log-normalised.
    gene_ids, gene_names
        Length G: the columns' ids, and the symbols by which the reference networks know them.
    labels
        Length C: the id of the perturbed gene, ``non-targeting`` or ``excluded``.
    """

    expression: NDArray[np.float32]
    gene_ids: Sequence[str]
    gene_names: Sequence[str]
    labels: NDArray[np.str_]


@dataclass(frozen=True)
class References:
    """Reference networks that the harness scores against, as columns of the matrix; direction is ignored.

    Parameters
    ----------
    complexes
        Protein complexes, as in CORUM.
    ligand_receptor, string_network, string_physical
        Pairs as in CellTalkDB and in STRING's two networks.
    """

    complexes: Sequence[Sequence[int]] = ()
    ligand_receptor: Pairs = ()
    string_network: Pairs = ()
    string_physical: Pairs = ()


@dataclass(frozen=True)
class Origin:
    """Where a data set comes from; written into every file that can carry it.

    Parameters
    ----------
    headline
        One line that stands first in README.txt and beside every score.
    simulated
        Whether the cells are simulated.
    details
        What else `description.json` shall hold; JSON values.
    """

    headline: str
    simulated: bool
    details: Mapping[str, Any] = field(default_factory=dict)


def write_benchmark_directory(
    folder: str | os.PathLike[str],
    dataset: Dataset,
    references: References,
    origin: Origin,
    beside: Mapping[str, bytes] | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a data set and its reference networks as a benchmark directory, whole or not at all.

    The harness wants a K562 and an RPE1 data set, filtered ones too under `--do_filter`: all four are the one given.

    Parameters
    ----------
    folder
        The directory to make.
    dataset, references, origin
        What to write.
    beside
        Further files by name, which the harness does not read.
    overwrite
        Replace a directory that this package made before.

    Returns
    -------
    Path
        The directory.

    Raises
    ------
    InputError
        The folder is taken, or the harness could not use the data set.
    """
    folder = check_folder(folder, overwrite)
    _check_dataset(dataset)
    beside = beside or {}
    files = {**_harness_files(dataset, references), **beside}
    files |= _notes(dataset, references, origin, beside, sorted([*_DATASETS, *_GENES, *files, DESCRIPTION, _README]))
    folder.parent.mkdir(parents=True, exist_ok=True)
    with atomic_directory(folder) as made:
        for name, content in files.items():
            (made / name).write_bytes(content)
        np.savez(
            made / _DATASETS[0],
            expression_matrix=np.ascontiguousarray(dataset.expression, np.float32),
            var_names=np.array(dataset.gene_ids),
            interventions=np.array(dataset.labels),
            origin=np.array(origin.headline),
            simulated=np.array(origin.simulated),
        )
        write_h5ad(made / _GENES[0], dataset.gene_ids, dataset.gene_names, origin.headline)
        for first, *others in (_DATASETS, _GENES):
            for name in others:
                _link(made / first, made / name)
    return folder


def read_metadata(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """Read what a benchmark directory says about itself, `headline` and `simulated` first of all.

    Raises
    ------
    InputError
        The folder was not made by this package.
    """
    description = find_metadata(folder)
    if not description:
        raise InputError.of("folder", f"{str(folder)!r} without a {DESCRIPTION} of {MADE_BY}", "one that it made")
    return description


def find_metadata(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """Read what a benchmark directory says about itself; nothing where this package did not make it.

    Raises
    ------
    InputError
        Nobody can tell, because the file is damaged: its cells may be simulated ones.
    """
    path = Path(folder) / DESCRIPTION
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise InputError.of(str(path), f"what cannot be read ({error})", "JSON") from None
    return description if isinstance(description, dict) and description.get("made_by") == MADE_BY else {}


def check_folder(folder: str | os.PathLike[str], overwrite: bool) -> Path:
    """Return the folder as an absolute path if a benchmark directory may be written there.

    Raises
    ------
    InputError
        It is a file, or a directory that is not empty; with `overwrite`, one that this package did not make. Or
        nothing can be written there.
    """
    path = Path(folder).absolute()
    there = next(parent for parent in path.parents if os.path.exists(parent))  # the folders between will be made
    check_writable(there / path.name)
    made_here = read_metadata(path).get("files") if (path / DESCRIPTION).exists() else None
    check_replaceable(path, "folder", made_here if isinstance(made_here, list) else (), overwrite)
    return path


def _check_dataset(dataset: Dataset) -> None:
    shape, ids = dataset.expression.shape, list(dataset.gene_ids)
    if shape != (len(dataset.labels), len(ids)) or len(dataset.gene_names) != len(ids):
        each = f"{len(dataset.labels)} labels, {len(ids)} gene_ids and {len(dataset.gene_names)} gene_names"
        raise InputError.of("expression", f"shape {shape}", f"cells × genes for {each}")
    if not np.isfinite(dataset.expression).all():
        raise InputError.of("expression", "NaN or infinite values", "finite numbers")
    if len(ids) < 2 or len(set(ids)) < len(ids):
        raise InputError.of("gene_ids", f"{len(ids)}, {len(set(ids))} of them distinct", "at least 2, each once")
    for name in [*ids, *dataset.gene_names]:
        if re.search(r'[\s;"]', name):
            raise InputError.of(
                "gene_names", f"{name!r}", "no space, quote or semicolon: they break the harness's tables"
            )
    labels, numbers = np.unique(dataset.labels, return_counts=True)
    cells_of = dict(zip(labels.tolist(), numbers.tolist(), strict=True))
    for label in [CONTROL_LABEL, *ids, *cells_of]:
        if label not in {CONTROL_LABEL, EXCLUDED_LABEL, *ids} or cells_of.get(label, 0) < FEWEST_CELLS:
            found = f"{cells_of.get(label, 0)} cells of {label!r}"
            needed = f"{FEWEST_CELLS} or more of each gene of the matrix and of {CONTROL_LABEL!r}"
            raise InputError.of("labels", found, f"{needed}, and beside them {EXCLUDED_LABEL!r} only")


def _harness_files(dataset: Dataset, references: References) -> dict[str, bytes]:
    """Write the evaluation files; without pairs they hold their headings only, which the harness bears."""
    ids, names = dataset.gene_ids, dataset.gene_names
    proteins = [f"9606.{gene}" for gene in ids]

    def links(pairs: Pairs) -> bytes:
        return gzip_bytes(table_bytes(" ", ["protein1", "protein2"], ([proteins[i], proteins[j]] for i, j in pairs)))

    complexes = table_bytes(
        "\t", ["subunits(Gene name)"], ([";".join(names[i] for i in group)] for group in references.complexes)
    )
    ligands = ([names[i], ids[i], ids[j]] for i, j in references.ligand_receptor)
    return {
        "corum_complexes.txt.zip": zip_bytes({"humanComplexes.txt": complexes}),
        "human_lr_pair.txt": table_bytes(
            "\t", ["ligand_gene_symbol", "ligand_ensembl_gene_id", "receptor_ensembl_gene_id"], ligands
        ),
        "protein.links.txt.gz": links(references.string_network),
        "protein.physical.links.txt.gz": links(references.string_physical),
        "protein.info.txt.gz": gzip_bytes(
            table_bytes("\t", ["#string_protein_id", "preferred_name"], zip(proteins, names, strict=True))
        ),
        "summary_stats.xlsx": workbook_bytes(_SUMMARY_SHEETS, _SUMMARY_COLUMNS),
    }


def _notes(
    dataset: Dataset, references: References, origin: Origin, beside: Mapping[str, bytes], files: list[str]
) -> dict[str, bytes]:
    """Write what the directory says about itself."""
    controls, excluded = (int((dataset.labels == label).sum()) for label in (CONTROL_LABEL, EXCLUDED_LABEL))
    cells, genes = dataset.expression.shape
    description = {
        "headline": origin.headline,
        "simulated": origin.simulated,
        "made_by": MADE_BY,
        "format_version": FORMAT_VERSION,
        "files": files,
        "shape": {"cells": cells, "genes": genes, "controls": controls, "excluded": excluded},
        "references": {network.name: len(getattr(references, network.name)) for network in fields(references)},
        **origin.details,
    }
    readme = f"""{origin.headline}

A data directory for CausalBench (causalbench_run --data_directory), made by {MADE_BY}.
{cells} cells × {genes} genes; {controls} control cells, {excluded} excluded ones.

The harness asks for a K562 and an RPE1 data set, each also filtered for --do_filter: all four are the same one here,
so that the result is the same whichever is chosen. The .h5ad files hold the genes' names only, no expression, and
summary_stats.xlsx its headings only, since the harness reads nothing else from them. Reference networks without an
entry hold their headings only: their scores are then 0. ChIP-seq comes with the harness and knows real symbols only.
Beside its files lie: {", ".join([DESCRIPTION, *beside])}.
"""
    return {
        DESCRIPTION: (json.dumps(description, indent=2, ensure_ascii=False) + "\n").encode(),
        _README: readme.encode(),
    }


def _link(source: Path, target: Path) -> None:
    """Give a file a second name; where the file system has no hard links, copy it."""
    try:
        target.hardlink_to(source)
    except OSError:
        shutil.copyfile(source, target)
