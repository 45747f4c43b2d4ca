"""A small screen whose labels and names of genes tests write in many ways, and what the clean file gives."""

import warnings

import numpy as np
import pytest
import screens

from catran_causalbench import InputError

GENES = ["AAAS", "CEBPA", "HLA-A", "KLF1", "MARCHF1", "NKX2-5", "TBCE"]  # some look like names of guides
IDS = [f"ENSG0000000000{number}" for number in range(len(GENES))]  # in the order of the names
ID_OF = dict(zip(GENES, IDS, strict=True))
CELLS = 12
TARGETS = np.repeat([*GENES, "non-targeting"], CELLS).tolist()


def screen(labels=TARGETS, ids=GENES, **var):
    return screens.small(labels, ids, **var)


def written(gene="{gene}", control="non-targeting"):
    """Return the labels of all cells, in the form given; every gene has three guides."""
    return [
        (control if target == "non-targeting" else gene).format(gene=target, guide=cell % 3 + 1, id=ID_OF.get(target))
        for cell, target in enumerate(TARGETS)
    ]


def relabelled(**changes):
    return [changes.get(target, target) for target in TARGETS]


def read_with_notes(adata, **options):
    """Read a screen; return it and the lines of warning."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = screens.read(adata, **options)
    return found, [str(note.message) for note in caught]


def read(adata, **options):
    found, notes = read_with_notes(adata, **options)
    assert not notes
    return found


def refusal(adata, **options):
    with pytest.raises(InputError) as refused:
        read_with_notes(adata, **options)
    return str(refused.value)


def assert_same_as_clean(found, names=GENES):
    expected, dataset = read(screen()).dataset(), found.dataset()
    assert dataset.gene_names == tuple(names)
    np.testing.assert_array_equal(dataset.intervention, expected.intervention)
    np.testing.assert_array_equal(dataset.expression, expected.expression)
