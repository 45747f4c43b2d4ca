"""What one label says: a control, one perturbed gene or several, called by their names or by those of guides."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from catran_causalbench.data.dataset import CONTROL
from catran_causalbench.data.gene_names import GeneNames
from catran_causalbench.errors import InputError

COMBINATION_SEPARATOR = "+"

_NUMBER = r"(?:[-_.:# ]+i?\d+|[-_.:# ]*(?:g|sg|gRNA|sgRNA|guide)[-_.:# ]*\d+)"
_SG = r"(?:\w[-_])?(?:sg|gRNA|sgRNA)[-_]?"
# Forms of the names of guides. The first expression counts by which a name leads to a measured gene or a control.
LABEL_PATTERNS: dict[str, tuple[str, ...]] = {
    "guide-number": (rf"(?P<target>.+?){_NUMBER}",),
    "sg-prefix": (rf"{_SG}(?P<target>.+?){_NUMBER}", rf"{_SG}(?P<target>.+)"),
    "promoter": (
        r"(?P<target>.+?)_[+-]_\d+(?:\.\d+)?-[\w.]+",
        r"(?P<target>.+?)_(?:P1|P2|P1P2|ENST\d+(?:\.\d+)?)(?:[-_]\d+)?",
        r"\d+_(?P<target>.+?)_[^_]+_(?:ENSG\d+|non-targeting)",
        r"(?P<target>non-targeting)_\d+",
    ),
}

_MISSING = ("", "nan", "none", "na", "n/a", "<na>", "null")  # labels of cells without one, in lower case
_CONTROL_IN_PAIR = ("ctrl", "control")
_CONTROL_WORDS = (
    r"(?:neg(?:ative)?[\W_]*)?(?:ctrl|ctl|control)s?",
    r"no(?:n|t)?[\W_]*target(?:ing|ed)?",
    r"(?:one[\W_]*)?non?[\W_]*(?:gene[\W_]*)?site",
    r"ntc?",
    r"safe(?:[\W_]*(?:target(?:ing)?|harbou?r))?",
    *("scrambled?", "intergenic", "aavs", "rosa", "lacz", "luc(?:iferase)?", "[er]?gfp", "rfp", "mcherry", "gal4"),
    *("unperturbed", "mock", "parental", r"wild[\W_]*type", r"wt(?!\d)", r"empty(?:[\W_]*vector)?"),
)
_CONTROL_LIKE = re.compile(
    rf"(?:sg)?(?:[\W_\d]*(?:{'|'.join(_CONTROL_WORDS)})(?:[\W_]*s?g(?:rna)?\d+)?)+[\W_\d]*", re.IGNORECASE
)

# The genes that a label names: the column of each in the matrix, or CONTROL for a control, and the name by which the
# label calls it. A name that no measured gene has, or that several have, stands in place of its column.
Reading = dict[int | str, str]


@dataclass(frozen=True)
class LabelReader:
    """Tells which genes a label names.

    Attributes
    ----------
    genes
        The names of the measured genes.
    controls
        Labels of control cells; the empty one is that of cells without a label.
    patterns
        Regular expressions with a group ``target``, for names of guides.
    separator
        What stands between the genes of a combined label.
    """

    genes: GeneNames
    controls: Collection[str]
    patterns: Sequence[str] = ()
    separator: str = COMBINATION_SEPARATOR

    def read(self, label: str) -> Reading:
        """Return the genes that a label names, or a control, or nothing if it stands for no label.

        Raises
        ------
        InputError
            Several genes have the same id.
        """
        parts = list(filter(None, map(str.strip, label.split(self.separator))))
        if label.lower() in _MISSING or not parts:
            return self._known(label) or ({CONTROL: ""} if "" in self.controls else {})
        found = self._known(label) if len(parts) > 1 else {}  # a name may hold the separator
        found = found or self._combine(parts)
        if any(isinstance(key, str) for key in found):
            found = self._find(label) or found  # so may a guide
        return found

    def _combine(self, parts: Sequence[str]) -> Reading:
        found: Reading = {}
        for part in parts:
            found = {**(self._find(part) or {part: part}), **found}
        perturbed = {key: name for key, name in found.items() if key != CONTROL and not _is_control_in_pair(key)}
        return perturbed or ({CONTROL: found[CONTROL]} if CONTROL in found else found)

    def _find(self, name: str) -> Reading:
        """Return the gene or the control of one name; what a pattern reads in it goes before the name as it stands."""
        matches = (re.fullmatch(pattern, name) for pattern in self.patterns)
        targets = [match["target"] for match in matches if match and match["target"]]
        return next(filter(None, map(self._known, (*targets, name))), {})

    def _known(self, name: str) -> Reading:
        if name in self.controls:
            return {CONTROL: name}
        if self.genes.is_shared(name):
            return {name: name}
        column = self.genes.find(name, "perturbation_key") if name else None
        return {} if column is None else {column: name}


def _is_control_in_pair(key: int | str) -> bool:
    return isinstance(key, str) and key.lower() in _CONTROL_IN_PAIR


def looks_like_control(name: str) -> bool:
    """Return whether screens use to call their controls like that, such as ``NTC_1``, ``safe`` or ``NegCtrl``."""
    return _CONTROL_LIKE.fullmatch(name) is not None


def find_patterns(label_pattern: str | None) -> tuple[str, ...]:
    """Return the regular expressions of a named pattern, or the one given.

    Raises
    ------
    InputError
        It is neither the name of a pattern nor a regular expression with a group ``target``.
    """
    if label_pattern is None:
        return ()
    if label_pattern in LABEL_PATTERNS:
        return LABEL_PATTERNS[label_pattern]
    expected = f"{', '.join(LABEL_PATTERNS)} or a regular expression with a group 'target', as (?P<target>.+)_g[0-9]"
    try:
        groups = re.compile(label_pattern).groupindex
    except (re.error, TypeError) as error:
        raise InputError.of("label_pattern", f"{label_pattern!r}, which is no pattern ({error})", expected) from None
    if "target" not in groups:
        raise InputError.of("label_pattern", f"{label_pattern!r} without that group", expected)
    return (label_pattern,)
