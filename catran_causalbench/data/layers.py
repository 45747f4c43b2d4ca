"""Choose the matrix of a screen that holds the expression: X, a layer or .raw; and tell what the others hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from catran_causalbench.data.matrix_blocks import read_sample
from catran_causalbench.data.values import kind_of_values
from catran_causalbench.errors import InputError

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

RAW = "raw"
_DESCRIPTIONS = {
    "signed": "scaled values",
    "counts": "counts, with counts=True",
    "linear": "values without a logarithm, with counts=True",
    "logged": "log-normalised values",
    "other": "values that may be log-normalised",
}


def choose_layer(adata: AnnData, layer: str | None) -> tuple[Any, pd.DataFrame]:
    """Return the matrix with the expression, and the table of its genes.

    ``"raw"`` is ``.raw``, with its own genes, unless a layer has this name.

    Raises
    ------
    InputError
        There is no such matrix; the message tells what the others hold.
    """
    matrix, var = (adata.X if layer is None else adata.layers.get(layer)), adata.var
    if layer == RAW and matrix is None and adata.raw is not None:
        matrix, var = adata.raw.X, adata.raw.var
        if adata.var_names.is_unique:  # names of genes may stand there only
            var = var.join(adata.var[adata.var.columns.difference(var.columns)])
    if matrix is None:
        found = "no X" if layer is None else f"no {layer!r}"
        raise InputError.of("layer", found, describe_layers(adata, layer))
    return matrix, var


def describe_layers(adata: AnnData, layer: str | None) -> str:
    """Tell which layers there are beside one, and what they seem to hold by their first rows."""
    matrices = {None: adata.X, **adata.layers}
    if adata.raw is not None:
        matrices.setdefault(RAW, adata.raw.X)
    matrices.pop(layer, None)
    described = [
        f"{'X' if name is None else repr(name)} ({_describe(matrix)})"
        for name, matrix in matrices.items()
        if matrix is not None
    ]
    return f"one of {', '.join(described)}" if described else "log-normalised values or counts; there are no layers"


def _describe(matrix: Any) -> str:
    try:
        return _DESCRIPTIONS[kind_of_values(read_sample(matrix)).name]
    except InputError:
        return "no numbers"
