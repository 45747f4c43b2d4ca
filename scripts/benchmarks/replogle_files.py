"""Write SIMULATED files of the shape and layout of CausalBench's data directory; no cell in them was measured.

`k562.h5ad` and `rpe1.h5ad` have the shapes, columns, numbers of controls and of perturbed genes, and the storage of the
published files (dense float32 counts, contiguous, labels as anndata 0.7 wrote them). Cells per gene are drawn so that
CausalBench's filters keep about as many genes and cells as they keep of the real ones. The reference networks are as
long as the real ones. Symbols are real, so that CausalBench's ChIP-seq tables apply; ids start with ENSG9, as no real
id does. The full size takes 20 GB of disk, less than 1 GB of memory and some ten minutes.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from anndata.io import write_elem
from reference_files import ReferenceSizes, known_symbols, write_references

from catran_causalbench.causalbench.manifest import EXPRESSION_FILES, SUMMARY
from catran_causalbench.causalbench.metadata import DESCRIPTION, MADE_BY
from catran_causalbench.data.dataset import CONTROL_LABEL

SIMULATED = "SIMULATED DATA – no cell here was measured"
SHEETS = ("TabB_K562_day6_summary_stat", "TabC_RPE1_summary_statistic")
BLOCK = 2**23  # values
PROGRAMS = 50
PHASES = 3


@dataclass(frozen=True)
class ScreenSize:
    """What is known of a published file, and what reproduces the sizes of CausalBench's matrices."""

    cells: int
    genes: int
    controls: int
    perturbed: int  # genes
    strong: int  # of them, those that pass the filter for strong perturbations
    spread: float  # standard deviation of the logarithm of the number of cells per perturbed gene
    measured: float  # share of the perturbed genes that are columns
    gem_groups: int


SIZES: dict[str, tuple[tuple[ScreenSize, ScreenSize], ReferenceSizes]] = {
    "full": (
        (
            ScreenSize(310_385, 8_563, 10_691, 2_057, 1_092, 0.6, 0.98, 48),
            ScreenSize(247_914, 8_749, 11_485, 2_393, 1_543, 0.8, 0.735, 56),
        ),
        ReferenceSizes(),
    ),
    "small": (
        (ScreenSize(3_000, 250, 400, 14, 10, 0.6, 0.9, 3), ScreenSize(2_600, 260, 420, 16, 11, 0.9, 0.8, 4)),
        ReferenceSizes(proteins=600, network=12_000, physical=2_000, complexes=60, ligand_receptor=80),
    ),
}


@dataclass(frozen=True)
class Gene:
    """A gene as the files name it."""

    symbol: str
    id: str
    guide: str  # number in the library


@dataclass(frozen=True)
class Screen:
    """One screen before its counts are drawn: G columns, P perturbed genes."""

    size: ScreenSize
    genes: list[Gene]  # (G,)
    targets: list[Gene]  # (P,)
    cells_of: np.ndarray  # (P + 1,): cells of each target, and the controls
    strong: np.ndarray  # bool, (P,)
    residual: np.ndarray  # (P,): share of the target's expression that its knock-down leaves


def main() -> None:
    """Write all files into the folder of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--scale", choices=SIZES, default="full")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    write_files(arguments.folder, arguments.scale, arguments.seed)


def write_files(folder: Path, scale: str, seed: int) -> None:
    """Write both screens, their summary, the reference networks, and what says that all of it is simulated."""
    sizes, reference_sizes = SIZES[scale]
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    symbols = rng.permutation(known_symbols())[: reference_sizes.proteins]
    genes = [Gene(symbol, f"ENSG9{number:010d}", f"{number}") for number, symbol in enumerate(symbols.tolist())]
    essential = max(size.perturbed for size in sizes)
    screens = [sample_screen(size, genes, essential, rng) for size in sizes]
    names = [*EXPRESSION_FILES, SUMMARY, *write_references(folder, reference_sizes, genes, essential, rng)]
    write_summary(folder / SUMMARY, screens, rng)
    title = f"{SIMULATED}; layout of the Replogle files, scale {scale}, seed {seed}"
    for name, screen in zip(EXPRESSION_FILES, screens, strict=True):
        write_screen(folder / name, screen, title, rng)
        print(f"Wrote {folder / name}: {screen.size.cells:,} cells × {screen.size.genes:,} genes (simulated).")
    description = {"title": title, "simulated": True, "made_by": MADE_BY, "files": [*names, DESCRIPTION, "README.txt"]}
    (folder / DESCRIPTION).write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")
    (folder / "README.txt").write_text(f"{title}\n\n{__doc__}", encoding="utf-8")


def sample_screen(size: ScreenSize, genes: list[Gene], essential: int, rng: np.random.Generator) -> Screen:
    """Draw which genes are perturbed, measured and strong, and in how many cells.

    The first `essential` genes are perturbed in one of the screens. The last column has a second id for the symbol of a
    perturbed gene, and one target has no id; the published files have both.
    """
    targets = genes[: size.perturbed]
    measured = rng.permutation(size.perturbed)[: round(size.measured * size.perturbed)]
    others = essential + rng.permutation(len(genes) - essential)
    columns = [genes[position] for position in (*measured, *others)][: size.genes - 1]
    columns = [columns[position] for position in rng.permutation(len(columns))]
    doubled = genes[measured[0]]
    columns.append(replace(doubled, id=doubled.id.replace("ENSG90", "ENSG91")))
    targets[measured[1]] = replace(targets[measured[1]], id="nan")

    shares = rng.lognormal(sigma=size.spread, size=size.perturbed)
    cells = np.maximum(1, np.floor(shares / shares.sum() * (size.cells - size.controls))).astype(int)
    cells[np.argsort(-cells)[: size.cells - size.controls - cells.sum()]] += 1
    strong = np.zeros(size.perturbed, bool)
    strong[rng.permutation(np.flatnonzero(cells > 25))[: size.strong]] = True
    residual = np.where(strong, rng.beta(2, 18, size.perturbed), rng.uniform(0.5, 1.1, size.perturbed))
    return Screen(size, columns, targets, np.append(cells, size.controls), strong, residual)


def sample_rates(screen: Screen, rng: np.random.Generator) -> np.ndarray:
    """Draw the expected counts of a cell of mean size: float32, (P + 1, G), controls last.

    A perturbation shifts three programs of genes, and some genes of its own.
    """
    size = screen.size
    means = 0.25 * np.exp(1.4 * np.abs(rng.standard_normal(size.genes)))  # the published files keep genes above 0.25
    loadings = rng.normal(scale=0.3, size=(PROGRAMS, size.genes)) * (rng.random((PROGRAMS, size.genes)) < 0.1)
    activity = np.zeros((size.perturbed + 1, PROGRAMS))
    for row in activity[:-1]:
        row[rng.integers(PROGRAMS, size=3)] = rng.normal(size=3)
    changes = activity.astype(np.float32) @ loadings.astype(np.float32)
    for row in changes[:-1]:
        row[rng.integers(size.genes, size=size.genes // 100)] += rng.normal(scale=0.5, size=size.genes // 100)
    changes[:-1][~screen.strong] *= 0.1
    column_of = {gene.id: column for column, gene in enumerate(screen.genes)}
    for row, target in enumerate(screen.targets):
        if target.id in column_of:
            changes[row, column_of[target.id]] = np.log(screen.residual[row])
    return np.exp(changes, out=changes) * means.astype(np.float32)


def write_screen(path: Path, screen: Screen, title: str, rng: np.random.Generator) -> None:
    """Draw the counts block by block, and write them as the published files are stored."""
    size = screen.size
    rates = sample_rates(screen, rng)
    phases = np.exp(rng.normal(scale=0.2, size=(PHASES, size.genes))).astype(np.float32)  # of the cell cycle
    label = rng.permutation(np.repeat(np.arange(size.perturbed + 1), screen.cells_of))
    gem_group = np.sort(rng.integers(size.gem_groups, size=size.cells)) + 1
    depth = rng.lognormal(-0.06, 0.35, size.cells) * rng.lognormal(sigma=0.1, size=size.gem_groups + 1)[gem_group]
    phase = rng.integers(PHASES, size=size.cells)
    totals = np.zeros(size.cells)
    part = path.with_suffix(".part")
    with h5py.File(part, "w") as file:
        matrix = file.create_dataset("X", (size.cells, size.genes), np.float32)
        step = max(1, BLOCK // size.genes)
        for start in range(0, size.cells, step):
            cells = slice(start, start + step)
            expected = rates[label[cells]] * phases[phase[cells]]
            expected *= depth[cells, None]
            counts = rng.poisson(expected)
            totals[cells] = counts.sum(axis=1)
            matrix[cells] = counts
        _write_table(file, "obs", _cells(screen, label, gem_group, totals, rng), "cell_barcode")
        _write_table(file, "var", _genes(screen, rates[-1], rng), "gene_id")
        write_elem(file, "uns", {"simulated": title})
    part.rename(path)


def _cells(
    screen: Screen, label: np.ndarray, gem_group: np.ndarray, totals: np.ndarray, rng: np.random.Generator
) -> pd.DataFrame:
    cells = len(label)
    names: dict[str, list[str]] = {
        "gene": [gene.symbol for gene in screen.targets],
        "gene_id": [gene.id for gene in screen.targets],
        "transcript": ["P1P2"] * len(screen.targets),
        "gene_transcript": [_full_name(gene) for gene in screen.targets],
        "sgID_AB": [
            f"{gene.symbol}_+_{gene.guide}.23-P1P2|{gene.symbol}_-_{gene.guide}.23-P1P2" for gene in screen.targets
        ],
    }
    table = {name: pd.Categorical(np.array([*of, CONTROL_LABEL], object)[label]) for name, of in names.items()}
    space = 4**16 // cells
    number = rng.permutation(cells) * space + rng.integers(space, size=cells)  # all distinct
    letters = np.frombuffer(b"ACGT", "S1")[(number[:, None] >> np.arange(0, 32, 2)) & 3].view("S16").ravel().astype(str)
    barcodes = [f"{letters[cell]}-{gem_group[cell]}" for cell in range(cells)]
    umi = np.round(totals / 0.85)  # the published count has genes that are not in the matrix
    scale = rng.lognormal(sigma=0.1, size=gem_group.max() + 1)[gem_group]
    numbers = {
        "mitopercent": rng.beta(8, 110, cells),
        "UMI_count": umi,
        "z_gemgroup_UMI": (umi - umi.mean()) / umi.std(),
        "core_scale_factor": scale,
        "core_adjusted_UMI_count": umi / scale,
    }
    numbers = {name: values.astype(np.float32) for name, values in numbers.items()}
    return pd.DataFrame({"gem_group": gem_group, **table, **numbers}, index=barcodes)


def _genes(screen: Screen, means: np.ndarray, rng: np.random.Generator) -> pd.DataFrame:
    genes = len(screen.genes)
    start = rng.integers(2**28, size=genes)
    columns: dict[str, Any] = {
        "gene_name": pd.Categorical([gene.symbol for gene in screen.genes]),
        "chr": pd.Categorical(rng.choice([f"chr{number}" for number in range(1, 23)], genes)),
        "start": start,
        "end": start + 50_000,
        "class": pd.Categorical(["gene_version10"] * genes),
        "strand": pd.Categorical(rng.choice(["+", "-"], genes)),
        "length": np.full(genes, 50_000),
        "in_matrix": np.ones(genes, bool),
        "mean": means,
        "std": np.sqrt(means),
        "cv": 1 / np.sqrt(means),
        "fano": np.ones(genes, np.float32),
    }
    return pd.DataFrame(columns, index=[gene.id for gene in screen.genes])


def _write_table(file: h5py.File, name: str, table: pd.DataFrame, index: str) -> None:
    """Write a table as anndata 0.7 did: codes that refer to a dataset of categories."""
    group = file.create_group(name)
    group.attrs.update({"encoding-type": "dataframe", "encoding-version": "0.1.0", "_index": index})
    group.attrs["column-order"] = list(table.columns)
    text = h5py.string_dtype()
    group.create_dataset(index, data=table.index.to_numpy(object), dtype=text)
    categories = group.create_group("__categories")
    for column, values in table.items():
        if isinstance(values.dtype, pd.CategoricalDtype):
            named = categories.create_dataset(column, data=values.cat.categories.to_numpy(object), dtype=text)
            named.attrs["ordered"] = False
            group.create_dataset(column, data=values.cat.codes.to_numpy()).attrs["categories"] = named.ref
        else:
            group.create_dataset(column, data=values.to_numpy())


def write_summary(path: Path, screens: list[Screen], rng: np.random.Generator) -> None:
    """Write the workbook by which strong perturbations are told from weak ones, with a sheet that says SIMULATED."""
    with pd.ExcelWriter(path) as workbook:
        pd.DataFrame({SIMULATED: []}).to_excel(workbook, sheet_name="SIMULATED", index=False)
        for sheet, screen in zip(SHEETS, screens, strict=True):
            strong, cells = screen.strong, screen.cells_of[:-1]
            few, many = rng.integers(0, 51, len(strong)), 51 + rng.lognormal(5, 1, len(strong)).astype(int)
            measured = {gene.symbol for gene in screen.genes}
            unknown = ~strong & ~np.array([gene.symbol in measured for gene in screen.targets])
            columns = {
                "genetic perturbation": [_full_name(gene) for gene in screen.targets],
                "number of cells (unfiltered)": np.round(1.1 * cells),
                "number of cells (filtered)": cells,
                "percent knockdown": np.where(unknown, np.nan, screen.residual - 1),
                "Number of DEGs (anderson-darling)": np.where(strong, many, few),
                "energy test (p-value)": np.where(strong, 1e-4, 0.5),
            }
            pd.DataFrame(columns).to_excel(workbook, sheet_name=sheet, index=False)


def _full_name(gene: Gene) -> str:
    return f"{gene.guide}_{gene.symbol}_P1P2_{gene.id}"


if __name__ == "__main__":
    main()
