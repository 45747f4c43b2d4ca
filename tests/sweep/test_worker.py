"""One run: CausalBench's own files and metrics, the result stored with them, and failures."""

import json
import os
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from catran_causalbench.sweep import worker
from catran_causalbench.sweep.plan import RunSpec
from catran_causalbench.sweep.records import FAILURE, RunResult, read_sweep
from catran_causalbench.sweep.worker import execute

QUICK = "evidence: {steps: 3, gates: 2}\noutput: {edges: 30}\n"


def run(method, directory, protocol, output, regime="interventional", fraction=1.0, seed=0):
    spec = RunSpec(method, directory, regime, fraction, seed)
    finished = execute(spec, protocol, output)
    assert not finished.error
    return RunResult.read(output / spec.directory)


def agree(one, other):
    """Compare nested metrics; CausalBench sums means in an order that changes with the hash seed."""
    if isinstance(one, dict):
        return list(one) == list(other) and all(agree(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(agree, one, other))
    return one == pytest.approx(other, rel=1e-9, nan_ok=True)


@pytest.mark.parametrize(
    ("method", "regime"), [("quick.yaml", "partial_interventional"), ("correlation", "observational")]
)
def test_a_run_is_what_causalbench_run_writes(directory, protocol, tmp_path, monkeypatch, method, regime):
    """Run the whole of CausalBench in this process, with the plugin, and compare with a run of a sweep."""
    (tmp_path / "quick.yaml").write_text(QUICK)
    (tmp_path / "edges.yaml").write_text("output: {edges: 30}\n")
    path = str(tmp_path / method) if method.endswith("yaml") else method
    spec = RunSpec(path, directory, regime, 0.5 if regime == "partial_interventional" else 0.0, 1)
    assert not execute(spec, protocol, tmp_path).error
    ours = tmp_path / spec.directory
    truth = RunResult.read(ours).truth
    assert bool(truth.perturbed.weight) == method.endswith("yaml"), "the weights of no baseline are expected effects"

    warnings.simplefilter("ignore")
    import importlib.util  # noqa: F401  CausalBench uses it without importing it

    from causalscbench.apps.main_app import MainApp
    from causalscbench.models.training_regimes import TrainingRegime

    (tmp_path / "edges.yaml").write_text("output: {edges: 30}\n")
    monkeypatch.setenv("CATRAN_CONFIG", path if method.endswith("yaml") else str(tmp_path / "edges.yaml"))
    monkeypatch.setenv("CATRAN_METHOD", "catran" if method.endswith("yaml") else method)
    our_arguments = json.loads((ours / "arguments.json").read_text())
    MainApp(
        output_directory=str(tmp_path / "theirs"),
        data_directory=str(directory),
        model_name="custom",
        inference_function_file_path=our_arguments["inference_function_file_path"],
        dataset_name="weissmann_rpe1",
        model_seed=1,
        training_regime=TrainingRegime(regime),
        partial_intervention_seed=1,
        fraction_partial_intervention=0.5 if regime == "partial_interventional" else 1.0,
        exp_id=spec.name,
        max_path_length=1,
        omission_estimation_size=40,
    ).run()
    theirs = tmp_path / "theirs" / spec.name

    assert (theirs / "output_network.csv").read_bytes() == (ours / "output_network.csv").read_bytes()
    their_arguments = json.loads((theirs / "arguments.json").read_text())
    assert our_arguments == {**their_arguments, "model_name": "catran-quick" if path != method else method}
    assert list(our_arguments) == list(their_arguments)
    metrics = [json.loads((each / "metrics.json").read_text()) for each in (ours, theirs)]
    for each in metrics:
        assert each["string_network_evaluation"]["true_positives"] > 0
        assert each["pooled_biological_sigificant_evaluation"]["true_positives"] > 0
        each["run_time"] = 0
    assert agree(*metrics)


def test_the_result_says_what_was_run(directory, protocol, tmp_path):
    result = run("mean_difference", directory, protocol, tmp_path)
    assert (result.method, result.data, result.num_edges) == ("mean_difference", "simulated", 30)
    assert result.simulated
    assert result.title.startswith("SIMULATED")
    assert result.data_settings["genes"] == 12
    assert result.data_settings["regulatory_graph"] is None
    assert "seed" not in result.data_settings
    assert result.peak_megabytes >= 1
    assert result.machine["cores"] >= 1
    assert np.isnan(result.stability), "it was not asked for"
    assert np.isnan(result.truth.unperturbed_average_precision), "all genes are perturbed"
    assert result.references["string_network"]["recall"] > 0


def test_a_method_may_rank_by_direct_effect(directory, protocol, tmp_path):
    (tmp_path / "direct.yaml").write_text("evidence: {steps: 3, gates: 2}\noutput: {rank_by: direct}\n")
    (tmp_path / "total.yaml").write_text("evidence: {steps: 3, gates: 2}\n")
    found = {name: run(str(tmp_path / f"{name}.yaml"), directory, protocol, tmp_path) for name in ("direct", "total")}
    precision = {name: result.truth.direct_average_precision for name, result in found.items()}
    assert precision["direct"] != precision["total"]
    assert found["direct"].mean_wasserstein != found["total"].mean_wasserstein, "the edges are those of the ranking"
    assert found["total"].truth.perturbed.weight
    assert not found["direct"].truth.perturbed.weight, "direct weights have no unit"


def test_the_oracle_recovers_all_effects(directory, protocol, tmp_path):
    result = run("oracle", directory, replace(protocol, stability=True), tmp_path, "partial_interventional", 0.5)
    assert result.truth.effect_recovery == pytest.approx(1)
    assert result.truth.unperturbed_average_precision == pytest.approx(1)
    assert np.isnan(result.stability), "it does not learn from cells"


def test_omissions_are_those_there_are(directory, protocol, tmp_path):
    run("mean_difference", directory, replace(protocol, omission_estimation_size=10_000), tmp_path)
    (path,) = tmp_path.rglob("arguments.json")
    assert json.loads(path.read_text())["omission_estimation_size"] == 132 - 30


def test_stability_compares_two_halves_of_the_cells(directory, protocol, tmp_path):
    asked = replace(protocol, stability=True)
    assert 0 < run("effect_size", directory, asked, tmp_path).stability < 1
    assert run("random", directory, asked, tmp_path).stability == 1, "one seed, one ranking"


def test_the_share_of_dcdi_s_training_reaches_it(directory, protocol, tmp_path, monkeypatch):
    given = []

    def dcdi_g(dataset, seed, settings):
        given.append(settings.training_share)
        return np.random.default_rng(seed).random((dataset.num_genes, dataset.num_genes))

    monkeypatch.setattr("catran_causalbench.baselines.dcdi.dcdi_g", dcdi_g)
    environment = dict(os.environ)
    run("dcdi_g", directory, replace(protocol, dcdi_training_share=0.25), tmp_path)
    run("random", directory, replace(protocol, dcdi_training_share=0.25), tmp_path)
    assert given == [0.25]
    assert dict(os.environ) == environment, "nothing travels through the environment"


def test_the_seed_may_decide_which_cells_are_held_out(directory, protocol, tmp_path):
    first, other = (
        run("mean_difference", directory, replace(protocol, split_by_seed=True), tmp_path / "split", seed=seed)
        for seed in (0, 1)
    )
    fixed = run("mean_difference", directory, protocol, tmp_path / "fixed", seed=1)
    assert first.mean_wasserstein == fixed.mean_wasserstein != other.mean_wasserstein


def test_a_failed_run_says_why_and_a_later_one_takes_its_place(directory, protocol, tmp_path, monkeypatch):
    spec = RunSpec("random", directory, "interventional", 1.0, 0)
    with monkeypatch.context() as patch:
        patch.setattr(worker, "score_edges", lambda *_, **__: 1 / 0)
        assert "ZeroDivisionError" in execute(spec, protocol, tmp_path).error
    failure = json.loads((tmp_path / spec.directory / FAILURE).read_text())
    assert failure["type"] == "ZeroDivisionError"
    assert "score_edges" in failure["traceback"]
    assert not execute(spec, protocol, tmp_path).error
    assert not (tmp_path / spec.directory / FAILURE).exists()
    assert len(read_sweep(tmp_path)) == 1


def test_a_run_whose_result_was_lost_is_executed_again(directory, protocol, tmp_path):
    run("random", directory, protocol, tmp_path)
    (path,) = tmp_path.rglob("details.json")
    path.write_text("{")
    run("random", directory, protocol, tmp_path)


def test_a_long_lived_worker_sees_that_a_directory_was_replaced(protocol, simulate, tmp_path):
    directory = simulate(tmp_path / "simulated")
    before = run("random", directory, protocol, tmp_path / "first").mean_wasserstein
    simulate(directory, seed=1, overwrite=True)
    second = run("random", directory, protocol, tmp_path / "second")
    assert second.mean_wasserstein != before
    pairs = (directory / "true_network.csv").read_text().splitlines()
    (directory / "true_network.csv").write_text("\n".join(pairs[:2]) + "\n")
    assert run("random", directory, protocol, tmp_path / "third").truth.recall != second.truth.recall


@pytest.mark.guarantee(
    "Several processes",
    "Runs of a sweep never share a process at one time, however many threads a Dask worker has.",
)
def test_runs_never_share_a_process(protocol, make_plan, runs_at_once, tmp_path):
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda spec: execute(spec, protocol, tmp_path), make_plan().runs()))
    assert runs_at_once == [1] * 4
