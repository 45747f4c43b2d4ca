"""The plugin as CausalBench uses it: loaded by path, called with CausalBench's own types."""

import traceback
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from causalscbench.apps.utils import run_utils
from causalscbench.models.abstract_model import AbstractInferenceModel
from causalscbench.models.training_regimes import TrainingRegime
from helpers import QUICK, QUICK_EVIDENCE, random_data

import catran_causalbench
from catran_causalbench import CatranConfig, InputError
from catran_causalbench.config import OutputSettings

PLUGIN = Path(catran_causalbench.__file__).parent / "plugin.py"


def loaded_by_causalbench():
    return run_utils.get_if_valid_custom_function_file(str(PLUGIN))


def call(data, regime=TrainingRegime.Interventional, config=QUICK, seed=0):
    model = loaded_by_causalbench()()
    model.config = config
    return model(*data, regime, seed)


def test_causalbench_finds_one_direct_subclass_that_needs_no_arguments():
    model = loaded_by_causalbench()
    assert model.__bases__ == (AbstractInferenceModel,)
    assert model.__name__ == "CatranInferenceModel"
    assert callable(model())


def test_edges_are_pairs_of_known_genes():
    matrix, labels, names = random_data()
    data = matrix, [np.str_(label) for label in labels], [np.str_(name) for name in names]
    edges = call(data)
    assert isinstance(edges, list)
    assert all(isinstance(edge, tuple) and len(edge) == 2 for edge in edges)
    assert {gene for edge in edges for gene in edge} <= set(names)
    assert len(edges) == len(set(edges)) == 50


@pytest.mark.parametrize("regime", list(TrainingRegime))
def test_every_regime(regime):
    assert len(call(random_data(), regime)) == 50


def test_the_observational_regime_sees_controls_only():
    matrix, labels, names = random_data()
    controls = [cell for cell, label in enumerate(labels) if label == "non-targeting"]
    only_controls = matrix[controls], ["non-targeting"] * len(controls), names
    observed = call((matrix, labels, names), TrainingRegime.Observational)
    assert observed == call(only_controls, TrainingRegime.Observational)
    assert observed != call((matrix, labels, names), TrainingRegime.Interventional)


def test_sparse_and_integer_input():
    matrix, labels, names = random_data()
    counts = np.expm1(matrix).round().astype(np.int32)
    assert call((scipy.sparse.csr_matrix(counts), labels, names)) == call((counts, labels, names))


def test_labels_may_come_from_an_iterator():
    matrix, labels, names = random_data()
    assert call((matrix, iter(labels), names)) == call((matrix, labels, names))


def test_the_seed_is_obeyed():
    data = random_data()
    assert call(data, seed=4) == call(data, seed=4)
    assert call(data, seed=4) != call(data, seed=5)


def test_the_environment_variable_chooses_the_settings(tmp_path, monkeypatch):
    path = tmp_path / "mine.yaml"
    path.write_text("evidence: {steps: 2}\noutput: {edges: 5}\n")
    monkeypatch.setenv("CATRAN_CONFIG", str(path))
    assert len(call(random_data(), config=None)) == 5
    monkeypatch.setenv("CATRAN_CONFIG", "missing.yaml")
    with pytest.raises(InputError, match=r"neither a preset nor a file 'missing\.yaml'"):
        call(random_data(), config=None)


@pytest.mark.parametrize("name", ["mean_difference", "catran-fast-preview"])
def test_the_environment_variable_chooses_the_method(name, monkeypatch):
    monkeypatch.setenv("CATRAN_METHOD", name)
    edges = call(random_data(), config=CatranConfig(output=OutputSettings(edges=40)))
    assert len(edges) == len(set(edges)) == 40
    monkeypatch.delenv("CATRAN_METHOD")
    assert edges != call(random_data(), config=CatranConfig(output=OutputSettings(edges=40)))


@pytest.mark.guarantee("Input", "The plugin returns 1,000 edges unless the settings say otherwise.")
def test_benchmarks_get_a_thousand_edges_and_so_does_the_run_directory(tmp_path, monkeypatch):
    monkeypatch.setenv("CATRAN_METHOD", "correlation")
    config = CatranConfig(output=OutputSettings(run_directory=str(tmp_path / "run")))
    edges = call(random_data(genes=40), config=config)
    assert len(edges) == len(set(edges)) == 1000
    table = pd.read_csv(tmp_path / "run" / "edges.csv")
    assert list(zip(table["source"], table["target"], strict=True)) == edges


def test_benchmarks_rank_by_total_effect_unless_the_settings_say_otherwise():
    total, default, direct = (
        call(random_data(), config=replace(QUICK_EVIDENCE, output=output))
        for output in (OutputSettings(50, "total"), OutputSettings(50), OutputSettings(50, "direct"))
    )
    assert total == default != direct
    assert len(direct) == len(set(direct)) == 50


@pytest.mark.guarantee(
    "Faults",
    "A wrong `CATRAN_METHOD` or `CATRAN_CONFIG` ends `causalbench_run` before training, with a clear last line.",
)
@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("CATRAN_METHOD", "mean_diference", "CATRAN_METHOD: found 'mean_diference'; expected one of catran, "),
        ("CATRAN_CONFIG", "missing.yaml", "CATRAN_CONFIG: found neither a preset nor a file 'missing.yaml'; "),
        (
            "CATRAN_CONFIG",
            "wrong.yaml",
            "wrong.yaml: found unknown key evidence.step; expected evidence.steps, perhaps",
        ),
        (
            "CATRAN_CONFIG",
            "dcdi.yaml",
            "config: found the section dcdi, which the method catran does not use; expected ",
        ),
    ],
)
def test_a_wrong_variable_ends_a_run_with_a_clear_line(tmp_path, monkeypatch, variable, value, message):
    """CausalBench makes the model after it has loaded the data and before it trains."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "wrong.yaml").write_text("evidence: {step: 2}")
    (tmp_path / "dcdi.yaml").write_text("dcdi: {training_share: 0.5}")
    monkeypatch.setenv(variable, value)
    with pytest.raises(InputError) as refusal:
        loaded_by_causalbench()()
    *trace, last = traceback.format_exception(refusal.value)
    assert last.startswith(f"catran_causalbench.errors.InputError: {message}")
    assert last.count("\n") == 1
    assert "During handling" not in "".join(trace)
