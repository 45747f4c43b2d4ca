"""Small SIMULATED files in the layout of the .h5ad files and the summary that CausalBench downloads.

They hold every case that CausalBench's preprocessing treats in its own way.
"""

from dataclasses import dataclass

import anndata
import numpy as np
import pandas as pd
from scipy import sparse

from catran_causalbench.causalbench.build.from_simulation import write_simulated_directory
from catran_causalbench.causalbench.manifest import REFERENCE_FILES, SUMMARY, SUMMARY_SHEETS
from catran_causalbench.simulation.causal_model import SimulationConfig

CONTROL = "non-targeting"
STORAGES = {"dense": np.asarray, "csr": sparse.csr_matrix, "csc": sparse.csc_matrix}
GENES = 500
CONTROLS = 450
SYMBOLS = [f"GENE{number:03}" for number in range(GENES)]
IDS = [f"ENSG{number:011}" for number in range(GENES)]
SYMBOLS[41] = SYMBOLS[40]  # one symbol, two ids
NAN = float("nan")


@dataclass(frozen=True)
class Target:
    """A perturbed gene: what the cells and the summary say of it, and what its perturbation leaves of its counts."""

    symbol: str
    id: str
    cells: int
    degs: float = 200
    knockdown: float = -0.8
    listed: float = 120  # cells, in the summary
    residual: float = 0.02


def target(number, cells, **changes):
    return Target(SYMBOLS[number], IDS[number], cells, **changes)


TARGETS = [
    target(30, 300, residual=0.3),  # some cells have too many counts
    target(31, 300, residual=0.6),  # and here their number depends on every control
    target(10, 160, residual=1.0),  # most have
    target(11, 102, residual=1.0),  # falls below the limit, but in the filtered data set only
    target(12, 100),
    target(13, 101),
    target(14, 101),  # one of its cells has no counts
    target(41, 130, residual=1.0),  # the first column with its symbol is another gene's
    target(20, 130, degs=50),
    target(21, 130, degs=NAN),
    target(22, 130, degs=51),
    target(23, 130, knockdown=-0.3),
    target(24, 130, knockdown=-0.29),
    target(25, 130, knockdown=NAN),
    target(26, 130, listed=25),
    target(27, 130, listed=26),
    target(28, 130, listed=NAN),
    Target("UNMEASURED", "ENSG99999999999", 120),
    Target(SYMBOLS[50], "ENSG99999999998", 120, residual=1.0),  # measured under another id
    Target("RENAMED", IDS[51], 120, residual=1.0),  # measured under another symbol
    Target("NOID", "nan", 110),
]
WITHOUT_COUNTS = {SYMBOLS[14]: 1, SYMBOLS[30]: 1, CONTROL: 5}  # cells


@dataclass(frozen=True)
class Screen:
    counts: np.ndarray  # int, cells × genes
    obs: pd.DataFrame
    var: pd.DataFrame
    summary: pd.DataFrame

    def write(self, path, storage="dense", dtype=np.float32, categorical=True, **changes):
        obs = changes.pop("obs", self.obs)
        if categorical:
            texts = {name: "category" for name in obs.columns if obs[name].dtype == object}
            obs = obs.replace({"gene_id": {"nan": None}}).astype(texts)
        tables = {"obs": obs, "var": self.var, **changes}
        adata = anndata.AnnData(STORAGES[storage](self.counts.astype(dtype)), **tables)
        adata.strings_to_categoricals = lambda *_: None  # else the plain columns would be converted
        adata.write_h5ad(path, convert_strings_to_categoricals=categorical)
        return path


def make_screen(seed, targets=TARGETS):
    """Draw the counts of shuffled cells."""
    rng = np.random.default_rng(seed)
    cells_of = [*(target.cells for target in targets), CONTROLS]
    label = rng.permutation(np.repeat(np.arange(len(cells_of)), cells_of))
    means = np.tile(rng.gamma(1.5, 2.0, GENES), (len(cells_of), 1))
    means[:, 10:60] += 3  # the targets, so that percentiles of their counts are no zeros
    means[:, 31] = 300
    for row, one in enumerate(targets):
        if one.symbol in SYMBOLS:
            means[row, SYMBOLS.index(one.symbol)] *= one.residual
    counts = rng.poisson(means[label] * rng.lognormal(sigma=0.4, size=(len(label), 1)))
    symbols = np.array([*(one.symbol for one in targets), CONTROL], object)[label]
    for symbol, number in WITHOUT_COUNTS.items():
        counts[np.flatnonzero(symbols == symbol)[:number]] = 0
    ids = np.array([*(one.id for one in targets), CONTROL], object)[label]
    names = np.array([*map(full_name, targets), f"0_{CONTROL}_{CONTROL}_{CONTROL}"], object)[label]
    totals, gem_group = counts.sum(axis=1), rng.integers(1, 9, len(label))
    obs = pd.DataFrame(
        {
            "gem_group": gem_group,
            "gene": symbols,
            "gene_id": ids,
            "transcript": np.where(symbols == CONTROL, CONTROL, "P1P2").astype(object),
            "gene_transcript": names,
            "sgID_AB": [f"{symbol}_+_1.23-P1P2|{symbol}_-_4.23-P1P2" for symbol in symbols],
            "mitopercent": rng.beta(8, 110, len(label)).astype(np.float32),
            "UMI_count": np.round(totals * 1.2).astype(np.float32),  # of more genes than the matrix has
            "z_gemgroup_UMI": ((totals - totals.mean()) / totals.std()).astype(np.float32),
        },
        index=pd.Index([f"{barcode:08b}-{gem}" for barcode, gem in enumerate(gem_group)], name="cell_barcode"),
    )
    var = pd.DataFrame({"gene_name": SYMBOLS, "chr": "chr1"}, index=pd.Index(IDS, name="gene_id"))
    order = rng.permutation(GENES)  # so that no order of columns is that of the names
    return Screen(counts[:, order], obs, var.iloc[order], make_summary(targets, rng))


def full_name(one):
    return f"{IDS.index(one.id) if one.id in IDS else 999}_{one.symbol}_P1P2_{one.id}"


def make_summary(targets, rng):
    table = pd.DataFrame(
        {
            "genetic perturbation": [full_name(one) for one in targets],
            "number of cells (filtered)": [one.listed for one in targets],
            "percent knockdown": [one.knockdown for one in targets],
            "Number of DEGs (anderson-darling)": [one.degs for one in targets],
        }
    )
    return table.iloc[rng.permutation(len(table))]


def write_summary(path, screens):
    """Write the workbook with a sheet for each of the screens, by cell line."""
    with pd.ExcelWriter(path) as workbook:
        for line, screen in screens.items():
            screen.summary.to_excel(workbook, sheet_name=SUMMARY_SHEETS[line], index=False)


def write_data_directory(directory, screens, scratch):
    """Write what CausalBench downloads; the reference networks are those of a simulation."""
    directory.mkdir()
    for line, screen in screens.items():
        screen.write(directory / f"{line}.h5ad")
    write_summary(directory / SUMMARY, screens)
    settings = SimulationConfig(genes=12, cells=600, min_cells=20)
    simulated = write_simulated_directory(scratch / "references", settings, seed=0)
    for name in REFERENCE_FILES:
        (directory / name).write_bytes((simulated / name).read_bytes())
    return directory
