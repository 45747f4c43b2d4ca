"""Errors and warnings as users read them: with their own line of code, and without NumPy's types."""

import warnings
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from helpers import QUICK_EVIDENCE, random_data

import catran_causalbench as catran
from catran_causalbench import InputError, fit, infer_network, load_config, validate_dataset
from catran_causalbench.config import EvidenceSettings
from catran_causalbench.evaluation.edge_lists import edge_columns
from catran_causalbench.simulation.to_anndata import simulate_anndata

TEXT, NUMBER = np.str_("odd"), np.float64(0.5)
LABELS = np.array(["non-targeting", "g0", "g1"] * 20)
GENES = np.array(["g0", "g1"])
MATRIX = np.arange(120.0).reshape(60, 2)


@cache
def screen():
    return simulate_anndata(genes=10, cells=1200, seed=0)


def fitted(**options):
    return fit(screen(), **{"perturbation_key": "target_gene", "min_cells": 5, **options})


MISTAKES = {
    "labels without controls": lambda: validate_dataset(MATRIX, np.repeat(TEXT, 60), GENES),
    "an empty label": lambda: validate_dataset(MATRIX, np.repeat(np.str_(" "), 60), GENES),
    "numbers for names": lambda: validate_dataset(MATRIX, LABELS, np.array([1, 2])),
    "a name twice": lambda: validate_dataset(MATRIX, LABELS, np.repeat(TEXT, 2)),
    "a name that is none": lambda: validate_dataset(MATRIX, LABELS, np.array(["a\0b", "g1"])),
    "a method": lambda: infer_network(validate_dataset(MATRIX, LABELS, GENES), method=TEXT),
    "a preset": lambda: load_config(TEXT),
    "a choice": lambda: load_config({"model": TEXT}),
    "numbers in a list": lambda: EvidenceSettings(disabled_terms=[NUMBER]),
    "equal texts in a list": lambda: EvidenceSettings(disabled_terms=[np.str_("effect")] * 2),
    "a seed": lambda: infer_network(validate_dataset(MATRIX, LABELS, GENES), seed=NUMBER),
    "a key": lambda: fitted(perturbation_key=TEXT),
    "a control": lambda: fitted(control=TEXT),
    "two controls": lambda: fitted(control=[TEXT, np.str_("other")]),
    "labels of a screen": lambda: fit(with_labels(TEXT), perturbation_key="target_gene", control="none"),
    "a pattern": lambda: fitted(label_pattern=TEXT),
    "a column of names": lambda: fitted(gene_names=TEXT),
    "a batch key": lambda: fitted(batch_key=TEXT),
    "a layer": lambda: fitted(layer=TEXT),
    "genes": lambda: fitted(genes=np.array([TEXT, "SIM1"])),
    "a word for genes": lambda: fitted(genes=TEXT),
    "a gene of an edge": lambda: edge_columns([(TEXT, np.str_("g1"))], GENES),
    "an edge": lambda: edge_columns([(TEXT, np.str_("g1"), NUMBER)], GENES),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_messages_do_not_show_the_types_of_numpy(mistake):
    with pytest.raises(InputError) as refusal:
        MISTAKES[mistake]()
    assert "np." not in str(refusal.value)
    assert "numpy" not in str(refusal.value)


WARNINGS = {
    "validate_dataset": lambda: validate_dataset(MATRIX, np.array(["non-targeting", "other"] * 30), GENES),
    "edges": lambda: infer_network(validate_dataset(*random_data()), QUICK_EVIDENCE).edges(1000, complete=True),
    "fit": lambda: fit(with_labels("SIM0+SIM1"), perturbation_key="target_gene", method="random", min_cells=5),
}


def with_labels(label):
    adata = screen().copy()
    adata.obs["target_gene"] = [label] * 7 + [np.str_(label) for label in adata.obs["target_gene"][7:]]
    return adata


@pytest.mark.parametrize("name", WARNINGS)
def test_a_warning_shows_the_line_of_the_user(name):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        WARNINGS[name]()
    ours = [warning for warning in caught if warning.category is UserWarning]
    assert [Path(warning.filename).name for warning in ours] == ["test_errors.py"]
    package = str(Path(catran.__file__).parent)
    assert not any(warning.filename.startswith(package) for warning in caught)
