"""From an AnnData, or the path of one, to a fitted network in one call."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING


from catran_causalbench.config import CatranConfig, load_config
from catran_causalbench.data.anndata_reader import read_screen
from catran_causalbench.data.dataset import CONTROL_LABEL
from catran_causalbench.data.effects import perturbation_effects
from catran_causalbench.grn.fitted_network import FittedNetwork
from catran_causalbench.inference import check_seed, infer_network

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

_START_FROM_COUNTS = ("counts", "log_normalise", "clr")


def fit(
    data: AnnData | str | os.PathLike[str],
    *,
    perturbation_key: str,
    control: str = CONTROL_LABEL,
    layer: str | None = None,
    genes: str | Sequence[str] = "perturbed",
    min_cells: int = 100,
    counts: bool = False,
    config: CatranConfig | str | os.PathLike[str] | None = None,
    seed: int = 0,
) -> FittedNetwork:
    """Learn the network behind a Perturb-seq screen.

    Parameters
    ----------
    data
        An AnnData, cells × genes, in memory or backed, which is not changed; or the path of an .h5ad, of which only
        the genes considered are kept in memory.
    perturbation_key, control, layer, genes, min_cells, counts
        Which cells and genes count as what: see :func:`~catran_causalbench.data.anndata_reader.read_screen`. By default the
        genes are the measured ones that are perturbed in more than 100 cells, as sources and targets alike.
    config
        Settings, the name of a preset, or the path of a YAML file; by default what
        :func:`~catran_causalbench.config.load_config` finds.
    seed
        Same seed, data and device: same edges.

    Returns
    -------
    FittedNetwork
        Edges, measured effects and pictures; it can be saved and holds no cells.

    Raises
    ------
    InputError
        Before training starts, for data or settings that cannot be used.
    """
    config = config if isinstance(config, CatranConfig) else load_config(None if config is None else os.fspath(config))
    check_seed(seed)
    screen = read_screen(
        data,
        perturbation_key=perturbation_key,
        control=control,
        layer=layer,
        genes=genes,
        min_cells=min_cells,
        counts=counts,
        allow_counts=config.data.preprocessing in _START_FROM_COUNTS,
    )
    dataset, cells, origin = screen.dataset(), screen.cells, screen.origin
    del screen  # or its matrix would be held beside the dataset's
    with _run_folder(config) as logged_config:
        network = infer_network(dataset, logged_config, seed)
        losses = _read_losses(Path(logged_config.output.run_directory))
    return FittedNetwork(
        gene_names=dataset.gene_names,
        weights=network.weights(),
        effects=perturbation_effects(dataset),
        cells=cells,
        losses=losses,
        config=config,
        seed=int(seed),
        origin=origin,
    )


@contextmanager
def _run_folder(config: CatranConfig) -> Iterator[CatranConfig]:
    """Give settings with a run folder, a passing one where the user named none: the losses are logged there."""
    if config.output.run_directory:
        yield config
        return
    with tempfile.TemporaryDirectory(prefix="catran-") as folder:
        yield replace(config, output=replace(config.output, run_directory=folder, edges=1))


def _read_losses(run_directory: Path) -> pd.DataFrame:
    """Read what every start of a run logged: one row per logged step, columns step and ``loss/…``.

    A start that was killed may have left an empty table, and one that was continued logs its last steps again.
    """
    import pandas as pd

    logs = sorted(run_directory.glob("logs/start_*/metrics.csv"), key=lambda log: int(log.parent.name.split("_")[1]))
    tables = [table for table in map(_read_table, logs) if len(table)]
    if not tables:
        return pd.DataFrame({"step": []})
    table = pd.concat(tables).drop_duplicates("step", keep="last").sort_values("step", ignore_index=True)
    return table[["step", *sorted(name for name in table if name.startswith("loss/"))]]


def _read_table(log: Path) -> pd.DataFrame:
    import pandas as pd

    try:
        return pd.read_csv(log)
    except (pd.errors.EmptyDataError, pd.errors.ParserError, UnicodeDecodeError):
        return pd.DataFrame()
