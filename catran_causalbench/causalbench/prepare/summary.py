"""The summary of the screens, which tells strong perturbations from weak ones."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from catran_causalbench.causalbench.manifest import SUMMARY_SHEETS
from catran_causalbench.causalbench.npz import UNREADABLE
from catran_causalbench.causalbench.prepare.expression_file import ExpressionFile
from catran_causalbench.data.dataset import CONTROL_LABEL
from catran_causalbench.errors import InputError

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Summary:
    """One sheet: the strong perturbations, and the number of cells of each perturbation, by symbol."""

    strong: frozenset[str]
    cells: dict[str, float]

    def distance(self, file: ExpressionFile) -> float:
        """Count the cells that a file has more or fewer than the sheet says, over all perturbations."""
        counted = {name: number for name, number in file.symbols.value_counts().items() if name != CONTROL_LABEL}
        names = {*counted, *self.cells}
        return sum(abs(counted.get(name, 0) - self.cells.get(name, 0)) for name in names)


def read_summaries(path: Path) -> dict[str, Summary]:
    """Read the sheet of each cell line; raise InputError if the workbook lacks anything that CausalBench reads."""
    import pandas as pd

    try:
        sheets = pd.read_excel(path, sheet_name=list(SUMMARY_SHEETS.values()))
        return {line: _summary(sheets[sheet]) for line, sheet in SUMMARY_SHEETS.items()}
    except UNREADABLE as error:
        found = f"a workbook that cannot be used ({' '.join(str(error).split())})"
        expected = "the sheets and columns that CausalBench reads; `catran-causalbench download` fetches them"
        raise InputError.of(path.name, found, expected) from None


def _summary(sheet: pd.DataFrame) -> Summary:
    """Apply CausalBench's rules of strong perturbations, to import which takes longer than all else here."""
    names, cells = sheet["genetic perturbation"], sheet["number of cells (filtered)"]
    strong = (sheet["Number of DEGs (anderson-darling)"] > 50) & (sheet["percent knockdown"] <= -0.3) & (cells > 25)
    symbols = names.astype(str).str.split("_").str[1]
    cells_of = cells.groupby(symbols).sum().drop(CONTROL_LABEL, errors="ignore")
    return Summary(frozenset(name.split("_")[1] for name in names[strong]), cells_of.to_dict())
