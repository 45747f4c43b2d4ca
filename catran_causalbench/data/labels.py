"""The labels of all cells of a screen: what each cell counts as, and what the user should know about the labels."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from catran_causalbench.data.dataset import CONTROL, EXCLUDED, EXCLUDED_LABEL
from catran_causalbench.data.gene_names import GeneNames, text_columns
from catran_causalbench.data.label_reader import (
    COMBINATION_SEPARATOR,
    LABEL_PATTERNS,
    LabelReader,
    Reading,
    find_patterns,
    looks_like_control,
)
from catran_causalbench.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

# What a cell counts as. The label of an "unmeasured" one names no measured gene; the gene of an "other" one is measured
# but not considered; the batch of an "uncontrolled" one holds no control.
KINDS = ("perturbed", "control", "combined", "other", "unmeasured", "unlabelled", "uncontrolled")

_OTHER_SEPARATORS = ("_", "|", ";", ",", "/", "&", "-")  # proposed where they would help
_EXAMPLES = 3
_SAMPLE = 200  # labels on which proposals are tried


@dataclass(frozen=True)
class CellLabels:
    """What the labels say; C cells.

    Attributes
    ----------
    intervention
        int64, length C: the column of the one gene that the label names, ``CONTROL`` or ``EXCLUDED``.
    kind
        int8, length C: the place in ``KINDS``.
    names
        The names by which labels call the perturbed genes.
    unmatched
        One line on labels that name no measured gene; empty if there are none.
    notes
        Lines that the user should read; the one on unmatched labels is among them.
    """

    intervention: np.ndarray
    kind: np.ndarray
    names: set[str]
    unmatched: str
    notes: list[str]

    def of_cells(self, cells: np.ndarray) -> CellLabels:
        """Keep the labels of some cells."""
        return replace(self, intervention=self.intervention[cells], kind=self.kind[cells])

    def exclude(self, cells: np.ndarray, kind: str) -> CellLabels:
        """Let some cells, bool, length C, count as another kind."""
        intervention = np.where(cells, EXCLUDED, self.intervention)
        return replace(self, intervention=intervention, kind=np.where(cells, np.int8(KINDS.index(kind)), self.kind))

    def count(self, intervention: np.ndarray) -> dict[str, int]:
        """Count the cells of each kind; perturbed cells that ``intervention`` excludes are of the kind ``other``."""
        not_considered = (self.kind == KINDS.index("perturbed")) & (intervention == EXCLUDED)
        kind = np.where(not_considered, KINDS.index("other"), self.kind)
        return dict(zip(KINDS, np.bincount(kind, minlength=len(KINDS)).tolist(), strict=True))


@dataclass(frozen=True)
class _Label:
    text: str
    cells: int
    reading: Reading

    @property
    def kind(self) -> str:
        if not self.reading:
            return "unlabelled"
        if CONTROL in self.reading:
            return "control"
        if EXCLUDED_LABEL in self.reading:
            return "other"
        if len(self.unknown) == len(self.reading):
            return "unmeasured"
        return "perturbed" if len(self.reading) == 1 else "combined"

    @property
    def code(self) -> int:
        return int(next(iter(self.reading))) if self.kind in ("perturbed", "control") else EXCLUDED

    @property
    def unknown(self) -> list[str]:
        """What it names that is no measured gene, and no control."""
        return [key for key in self.reading if isinstance(key, str) and key != EXCLUDED_LABEL]


def read_labels(
    obs: pd.DataFrame,
    var: pd.DataFrame,
    genes: GeneNames,
    *,
    perturbation_key: str,
    control: str | Sequence[str],
    label_pattern: str | None = None,
    combination_separator: str = COMBINATION_SEPARATOR,
) -> CellLabels:
    """Read the labels of all cells; see :func:`~catran_causalbench.data.anndata_reader.read_screen`.

    Raises
    ------
    InputError
        There is no such column, no control in it, or no label that names a measured gene; or an argument is unusable.
    """
    reader = LabelReader(
        genes, control_labels(control), find_patterns(label_pattern), _separator(combination_separator)
    )
    texts, text_of_cell = _texts(obs, perturbation_key)
    cells_of = np.bincount(text_of_cell, minlength=len(texts)).tolist()
    labels = [_Label(text, cells, reader.read(text)) for text, cells in zip(texts, cells_of, strict=True)]
    like_controls = Counter[str]()
    for label in labels:
        like_controls.update({name: label.cells for name in label.unknown if looks_like_control(name)})
    if not any(label.kind == "control" for label in labels):
        raise _without_control(labels, reader, like_controls)
    shared = Counter({label.text: label.cells for label in labels if any(map(genes.is_shared, label.unknown))})
    unmatched = _about_unmatched([label for label in labels if label.text not in shared], reader, var)
    return CellLabels(
        intervention=np.array([label.code for label in labels], np.int64)[text_of_cell],
        kind=np.array([KINDS.index(label.kind) for label in labels], np.int8)[text_of_cell],
        names={name for label in labels if label.kind == "perturbed" for name in label.reading.values()},
        unmatched=unmatched,
        notes=[
            *([unmatched] if unmatched else []),
            *_notes_on_shared_names(shared),
            *_notes_on_controls(labels, reader, like_controls),
        ],
    )


def control_labels(control: str | Sequence[str]) -> tuple[str, ...]:
    """Return the labels of control cells, each once; raise InputError if the argument is none and no list of some."""
    listed = [control] if isinstance(control, str) else control
    try:
        controls = tuple(dict.fromkeys(str(label).strip() for label in listed))
    except TypeError:
        controls = ()
    if not controls:
        raise InputError.of("control", repr(control), "the label of the control cells, or a list of such labels")
    return controls


def _separator(separator: str) -> str:
    if not isinstance(separator, str) or not separator:
        raise InputError.of("combination_separator", repr(separator), "one or more characters")
    return separator


def _texts(obs: pd.DataFrame, perturbation_key: str) -> tuple[list[str], np.ndarray]:
    """Return the distinct labels, without spaces around them, and the place among them of each cell's."""
    import pandas as pd

    if perturbation_key not in obs:
        expected = f"one of {', '.join(map(str, obs.columns)) or 'its columns, of which there are none'}"
        raise InputError.of("perturbation_key", f"no {perturbation_key!r} in obs", expected)
    value_of_cell, values = pd.factorize(obs[perturbation_key])
    place_of: dict[str, int] = {}
    place_of_value = [place_of.setdefault(str(value).strip(), len(place_of)) for value in values]
    if (value_of_cell < 0).any():
        place_of_value.append(place_of.setdefault("", len(place_of)))  # the last place is that of the code -1
    return list(place_of), np.array(place_of_value, np.int64)[value_of_cell]


def _without_control(labels: Sequence[_Label], reader: LabelReader, like_controls: Counter[str]) -> InputError:
    labelled = f"labelled {' or '.join(map(repr, reader.controls))}" if any(reader.controls) else "without a label"
    frequent = _listed(Counter({label.text: label.cells for label in labels}), 5)
    expected = "the label of the control cells"
    if like_controls:
        expected += f", such as {_listed(like_controls)}{_pattern_for(like_controls, labels, reader)}"
    return InputError.of("control", f"no cell {labelled}; the most frequent labels are {frequent}", expected)


def _notes_on_shared_names(cells_of: Counter[str]) -> list[str]:
    if not cells_of:
        return []
    found = f"cells labelled {_listed(cells_of)} are excluded, as several genes have such a name"
    return [f"{found}; a perturbation_key with ids tells these genes apart"]


def _notes_on_controls(labels: Sequence[_Label], reader: LabelReader, like_controls: Counter[str]) -> list[str]:
    absent = [control for control in reader.controls if not any(control in label.text for label in labels)]
    notes = [f"no cell is labelled {' or '.join(map(repr, absent))}, which control names"] if absent else []
    if like_controls:
        listed = [*reader.controls, *(name for name, _ in like_controls.most_common(_EXAMPLES))]
        advice = _pattern_for(like_controls, labels, reader) or f"; control={listed!r} counts them"
        notes.append(f"cells labelled {_listed(like_controls)} look like controls but are excluded{advice}")
    return notes


def _pattern_for(like_controls: Counter[str], labels: Sequence[_Label], reader: LabelReader) -> str:
    """Return advice on the named pattern that reads these names as controls, and most labels, if there is one."""
    understood = Counter[str]()
    for name, patterns in () if reader.patterns else LABEL_PATTERNS.items():
        named = replace(reader, patterns=patterns)
        if all(CONTROL in named.read(name) for name in like_controls):
            understood[name] = sum(_is_understood(label.text, named) for label in labels[:_SAMPLE])
    return f"; label_pattern={understood.most_common(1)[0][0]!r} reads them" if understood else ""


def _about_unmatched(labels: Sequence[_Label], reader: LabelReader, var: pd.DataFrame) -> str:
    """Return a line on labels that name no measured gene; raise InputError if no label names just one."""
    perturbed = any(label.kind == "perturbed" for label in labels)
    kinds = ("unmeasured",) if perturbed else ("unmeasured", "combined")
    unmatched = [label for label in labels if label.kind in kinds and not all(map(looks_like_control, label.unknown))]
    if not unmatched:
        return ""
    cells_of = Counter({label.text: label.cells for label in unmatched})
    ids = ", ".join(repr(str(name)) for name in reader.genes.ids[:_EXAMPLES])
    examples = f"{_listed(cells_of)}, where var_names has {ids}"
    advice = _advice(cells_of, reader, var)
    if not perturbed:
        found = f"no label that names one measured gene, but {examples}"
        raise InputError.of("perturbation_key", found, f"names of genes as in var_names or a column of var; {advice}")
    targeted = len(unmatched) + sum(label.kind in ("perturbed", "combined") for label in labels)
    found = f"{len(unmatched)} of {targeted} labels name no measured gene"
    return f"{found}, and their {cells_of.total()} cells are excluded: {examples}; {advice}"


def _advice(unmatched: Counter[str], reader: LabelReader, var: pd.DataFrame) -> str:
    """Return the options by which most of these labels name genes, or all options if none does so for half of them."""
    sample = [label for label, _ in unmatched.most_common(_SAMPLE)]
    patterns = {"": reader.patterns, **LABEL_PATTERNS}
    separators = {"": reader.separator, **{separator: separator for separator in _OTHER_SEPARATORS}}
    columns = [column for column in text_columns(var) if column not in reader.genes.columns]
    genes = {"": reader.genes, **{column: GeneNames.of(var, column) for column in columns}}
    understood = Counter[str]()
    for choice in product(patterns, separators, genes):
        changed = replace(reader, patterns=patterns[choice[0]], separator=separators[choice[1]], genes=genes[choice[2]])
        options = zip(("label_pattern", "combination_separator", "gene_names"), choice, strict=True)
        text = " and ".join(f"{option}={value!r}" for option, value in options if value)
        understood[text] = sum(_is_understood(label, changed) for label in sample)
    known = set(map(str.casefold, reader.genes.known))
    understood["upper and lower case as in var_names"] = sum(label.casefold() in known for label in sample)
    option, number = understood.most_common(1)[0]
    if 2 * number >= len(sample):
        return f"with {option}, {number} of {len(sample)} name genes"
    within = [(word, label) for label in sample for word in re.split(r"[\W_]+", label) if word in reader.genes.known]
    example = f", as {within[0][0]} in {within[0][1]!r}" if within else ""
    return f"if they mean genes{example}, see label_pattern=REGEX, combination_separator=TEXT and gene_names=COLUMN"


def _is_understood(label: str, reader: LabelReader) -> bool:
    """Return whether a label names measured genes and nothing else, except what looks like a control."""
    try:
        reading = reader.read(label)
    except InputError:  # several genes have the id
        return False
    genes = [key for key in reading if not isinstance(key, str)]
    return bool(genes) and all(looks_like_control(key) for key in reading if isinstance(key, str))


def _listed(cells_of: Counter[str], number: int = _EXAMPLES) -> str:
    """Return the most frequent labels with their numbers of cells."""
    most = sorted(cells_of, key=lambda label: (-cells_of[label], label))[:number]
    return ", ".join(f"{label!r} ({cells_of[label]})" for label in most)
