"""Files with cells and known truth as data sets of sweeps and evaluations."""

import itertools
import json
from unittest.mock import Mock

import numpy as np
import pytest
from typer.testing import CliRunner

from catran_causalbench.causalbench.known_truth import read_known_truth
from catran_causalbench.cli import app
from catran_causalbench.data.validation import validate_dataset
from catran_causalbench.errors import InputError
from catran_causalbench.evaluation.ground_truth import average_precision, effect_recovery
from catran_causalbench.sweep.plan import EvaluationProtocol, RunSpec, SweepPlan
from catran_causalbench.sweep.records import RunResult
from catran_causalbench.sweep.worker import execute

CHAIN = ("G2", "G0", "G1")  # acts on the next one; the order of the columns is another


def arrays(**changes):
    """Twelve genes, of which three form a chain; values far beyond logarithms of counts."""
    rng = np.random.default_rng(0)
    names = np.array([f"G{number}" for number in rng.permutation(12)])
    column = {name: position for position, name in enumerate(names)}
    direct, total = np.zeros((12, 12)), np.zeros((12, 12))
    for source, target, effect in (("G2", "G0", -6.0), ("G0", "G1", -4.0), ("G2", "G1", -3.0)):
        total[column[source], column[target]] = effect
    for source, target in itertools.pairwise(CHAIN):
        direct[column[source], column[target]] = 1
    labels = np.repeat(["non-targeting", *names], [200] + [20] * 12)
    expression = rng.normal(40, 1, (len(labels), 12))
    for row, label in enumerate(labels):
        if label != "non-targeting":
            expression[row] += total[column[label]]
            expression[row, column[label]] = 0
    return {"X": expression, "labels": labels, "names": names, "direct": direct, "total": total, **changes}


@pytest.fixture
def data(tmp_path):
    np.savez(tmp_path / "chain.npz", **arrays())
    return tmp_path / "chain.npz"


@pytest.mark.guarantee("Input", "Sweeps take other simulators' cells as they are, with their own truth.")
def test_a_sweep_takes_a_file_with_known_truth(data, tmp_path):
    (spec,) = SweepPlan(["mean_difference"], [data], fractions=[1]).runs()
    assert spec.directory.parent.name == "chain"
    assert not execute(spec, EvaluationProtocol(), tmp_path / "out").error
    result = RunResult.read(tmp_path / "out" / spec.directory)
    assert (result.num_edges, result.simulated, result.data) == (2, True, "chain"), "two direct edges"
    assert result.title.startswith("SIMULATED")
    assert result.truth.effect_recovery == 1
    assert result.truth.precision.value[-1] == 1
    assert result.truth.direct_average_precision == 1
    assert not result.references


def test_total_and_direct_truth_are_measured_side_by_side(data, tmp_path):
    values = arrays()
    values["total"] *= np.where(values["total"] == -3, 5, 1)  # the largest effect is now the indirect one
    np.savez(data, **values)
    spec = RunSpec("oracle", data, "interventional", 1.0, 0)
    assert not execute(spec, EvaluationProtocol(edges=1), tmp_path / "out").error
    truth = RunResult.read(tmp_path / "out" / spec.directory).truth
    assert (truth.effect_recovery, truth.precision.value[-1]) == (1, 0)
    assert truth.direct_average_precision == pytest.approx((1 / 2 + 2 / 3) / 2), "ranks 2 and 3"
    read = read_known_truth(data)
    assert average_precision(np.abs(read.effects), read.network) == truth.direct_average_precision
    source, target = np.argwhere(read.effects == -15)[0]
    assert effect_recovery(np.array([source]), np.array([target]), read.effects) == 1


def test_edges_are_evaluated_on_a_file_with_known_truth(data, tmp_path, monkeypatch):
    validated = Mock(wraps=validate_dataset)
    monkeypatch.setattr("catran_causalbench.causalbench.known_truth.validate_dataset", validated)
    (tmp_path / "edges.csv").write_text("source,target\nG2,G0\nG0,G1\n")
    result = CliRunner().invoke(app, ["evaluate", str(data), str(tmp_path / "edges.csv"), "--json"])
    scores = json.loads(result.stdout)
    assert scores["data"] == {"name": "chain", "title": scores["data"]["title"], "simulated": True}
    assert scores["truth"]["precision"]["value"][-1] == 1
    assert scores["truth"]["effect_recovery"] == pytest.approx(1)
    assert validated.call_count == 1


def test_a_number_of_edges_may_be_asked_for(data):
    assert EvaluationProtocol().num_edges(data) == 2
    assert EvaluationProtocol(edges=7).num_edges(data) == 7
    assert EvaluationProtocol().num_edges(data.parent) == 1000


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"X": -arrays()["X"]}, "expression_matrix: found a negative value"),
        ({"labels": np.repeat("G0", 440)}, "interventions: found no controls"),
        ({"direct": np.zeros((12, 12))}, "found no edge in direct"),
        ({"direct": np.eye(12)}, "found no edge in direct"),
        ({"total": np.ones((12, 11))}, "found total of type float64 and shape"),
        ({"total": np.full((12, 12), np.nan)}, "found total"),
        ({"names": np.array(["G0"] * 12)}, "gene_names: found 'G0' for 12 columns"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused(data, changes, message):
    np.savez(data, **arrays(**changes))
    with pytest.raises(InputError, match=message) as refused:
        SweepPlan(["random"], [data])
    assert "chain.npz" in str(refused.value)


def test_a_missing_or_foreign_file_is_refused(data, tmp_path):
    with pytest.raises(InputError, match=r"data: found no absent\.npz .*; expected a file with known truth"):
        SweepPlan(["random"], [tmp_path / "absent.npz"])
    np.savez(data, expression_matrix=np.ones((3, 3)))
    with pytest.raises(InputError, match=r"expected an \.npz with X, labels, names, direct, total"):
        SweepPlan(["random"], [data])
