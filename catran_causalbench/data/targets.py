"""Which genes the labels of cells name, and which genes of a screen are considered."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import numpy as np

from catran_causalbench.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

# Columns of `var` that may hold the name by which a label calls a gene.
_NAME_COLUMNS = ("gene_name", "gene_symbols", "gene_symbol", "feature_name", "gene_id", "gene_ids")


def read_targets(obs: pd.DataFrame, perturbation_key: str, control: str) -> list[tuple[str, ...] | None]:
    """Return the genes that each cell's label names, none for a control; None where there is no label.

    Raises
    ------
    InputError
        There is no such column, or no control in it.
    """
    if perturbation_key not in obs:
        expected = f"one of {', '.join(map(str, obs.columns)) or 'its columns, of which there are none'}"
        raise InputError.of("perturbation_key", f"no {perturbation_key!r} in obs", expected)
    labels = obs[perturbation_key].astype(str).where(obs[perturbation_key].notna(), "").tolist()
    targets_of: dict[str, tuple[str, ...] | None] = {}
    for label in set(labels):
        genes = {part.strip() for part in label.split("+")} - {control, ""}
        targets_of[label] = None if not label.strip() else () if label == control else tuple(genes)
    if () not in targets_of.values():
        frequent = ", ".join(f"{label!r} ({number})" for label, number in Counter(labels).most_common(5))
        found = f"no cell labelled {control!r}; the most frequent labels are {frequent}"
        raise InputError.of("control", found, "the label of the control cells")
    return [targets_of[label] for label in labels]


def names_of_genes(var: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return the ids of all genes, and their names by column of ``var``, with the id where there is no name."""
    ids = np.array(var.index.astype(str), dtype=object)
    names = {key: var[key].astype(str) for key in _NAME_COLUMNS if key in var}
    return {"id": ids, **{key: np.where(var[key].isna() | (of == ""), ids, of) for key, of in names.items()}}


def gene_names_like(var: pd.DataFrame, wanted: Collection[str]) -> np.ndarray:
    """Return the names of all genes, from ``var_names`` or the column of ``var`` that has most of the wanted ones."""
    return max(names_of_genes(var).values(), key=lambda names: len(set(wanted).intersection(names)))


def find_columns(names: dict[str, np.ndarray], wanted: set[str], field: str) -> dict[str, int]:
    """Find genes by their ids, else by their other names; raise InputError for a name that two genes share."""
    columns: dict[str, set[int]] = defaultdict(set)
    for keys in (["id"], [key for key in names if key != "id"]):
        missing = wanted.difference(columns)
        for key in keys:
            for column, name in enumerate(names[key]):
                if name in missing:
                    columns[name].add(column)
    for name in sorted(columns):
        if len(columns[name]) > 1:
            first, second, *_ = names["id"][sorted(columns[name])]
            raise InputError.of(field, f"{name!r}, a name of {first} and {second}", "names of one gene each")
    return {name: found.pop() for name, found in columns.items()}


def choose_columns(
    names: dict[str, np.ndarray], intervention: np.ndarray, genes: str | Sequence[str], min_cells: int
) -> np.ndarray:
    """Return the columns of the genes considered, ascending; ``intervention`` is the target's column of each cell."""
    if not isinstance(genes, str):
        wanted = set(genes)
        columns = find_columns(names, wanted, "genes")
        missing = sorted(wanted.difference(columns))
        if missing:
            raise InputError.of("genes", f"{len(missing)} that are not measured, as {missing[0]!r}", "measured genes")
        return np.unique(list(columns.values()))
    if genes == "all":
        return np.arange(len(names["id"]))
    if genes != "perturbed":
        raise InputError.of("genes", repr(genes), "'perturbed', 'all' or a list of names")
    cells_of = np.bincount(intervention[intervention >= 0], minlength=len(names["id"]))
    perturbed = np.flatnonzero(cells_of > min_cells)
    if len(perturbed) < 2:
        most = max(cells_of, default=0)
        found = f"{len(perturbed)} measured genes with more than {min_cells} perturbed cells (the most: {most})"
        raise InputError.of("min_cells", found, "at least 2; lower it, or name the genes")
    return perturbed
