"""One run of a sweep: infer a network, score it, store the result."""

from __future__ import annotations

import gc
import json
import threading
import time
import traceback
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from catran_causalbench.causalbench import PLUGIN_FILE
from catran_causalbench.causalbench.benchmark_dataset import BenchmarkDataset
from catran_causalbench.causalbench.dataset_spec import INTERVENTIONAL, OBSERVATIONAL, PARTIAL, DatasetSpec
from catran_causalbench.causalbench.fingerprint import file_states
from catran_causalbench.causalbench.known_truth import data_name
from catran_causalbench.data.dataset import PerturbationDataset
from catran_causalbench.errors import InputError
from catran_causalbench.grn.edges import rank_edges
from catran_causalbench.inference import infer_network
from catran_causalbench.methods import find_method, method_label
from catran_causalbench.sweep.plan import ORACLE, EvaluationProtocol, RunSpec, method_config
from catran_causalbench.sweep.records import NetworkScores, RunResult, atomic_run_directory, is_done, write_failure
from catran_causalbench.sweep.scoring import (
    Edges,
    Scores,
    calibration,
    direct_average_precision,
    score_edges,
    unperturbed_average_precision,
)
from catran_causalbench.utils.fingerprint import code_version
from catran_causalbench.utils.hardware import PeakMemory, describe_machine

# CausalBench's spelling in arguments.json.
_REGIMES = {OBSERVATIONAL: "Observational", PARTIAL: "PartialIntervational", INTERVENTIONAL: "Interventional"}

# Dask's workers may have many threads, but runs in one process would share its random state and its memory.
_ONE_AT_A_TIME = threading.Lock()


@dataclass(frozen=True)
class FinishedRun:
    """How a run ended: two numbers of its result, which are NaN if it failed, and its error, empty if it did not."""

    spec: RunSpec
    seconds: float = float("nan")
    mean_wasserstein: float = float("nan")
    error: str = ""


def execute(spec: RunSpec, protocol: EvaluationProtocol, output: Path, code: str = "") -> FinishedRun:
    """Execute one run and store its result, or why it failed; a finished run is left as it is.

    ``code`` is the version of the code that started the sweep, empty to accept any. Raise InputError if this process
    has another one, so that its results could not be compared with the others.
    """
    if code and code_version() != code:
        raise InputError.of("scheduler", f"a worker with code {code_version()}", f"{code}, as where the sweep started")
    directory = output / spec.directory
    try:
        with _ONE_AT_A_TIME:
            result = RunResult.read(directory) if is_done(directory) else _run(spec, protocol, directory)
    except (Exception, SystemExit) as error:
        write_failure(directory, error, traceback.format_exc())
        return FinishedRun(spec, error=f"{type(error).__name__}: {error}")
    return FinishedRun(spec, result.seconds, result.mean_wasserstein)


@lru_cache(maxsize=1)  # runs on the same data follow one another; a worker may outlive the contents of a directory
def _read_data(data: Path, which: DatasetSpec, split_seed: int, _file_states: Any) -> BenchmarkDataset:
    return BenchmarkDataset.read(data, which, split_seed)


def _run(spec: RunSpec, protocol: EvaluationProtocol, directory: Path) -> RunResult:
    which, split_seed = protocol.dataset_spec, spec.seed if protocol.split_by_seed else 0
    data = _read_data(spec.data, which, split_seed, file_states(spec.data, which))
    num_edges = protocol.num_edges(spec.data)
    if spec.method != ORACLE:
        find_method(spec.method).load()
    gc.collect()
    with PeakMemory() as memory:
        start = time.perf_counter()
        dataset = data.training_set(spec.regime, spec.fraction, spec.seed)
        edges, weights = _infer(spec, protocol, dataset, data, num_edges)
        seconds = time.perf_counter() - start
    scores = score_edges(
        data, edges, protocol.max_path_length, protocol.omission_estimation_size, exact_omission_rate=True
    )
    common = {entry.name: getattr(scores, entry.name) for entry in fields(NetworkScores)}
    if data.truth and scores.truth:
        common["truth"] = replace(
            scores.truth,
            unperturbed_average_precision=unperturbed_average_precision(data, dataset, weights, len(edges)),
            direct_average_precision=direct_average_precision(data, dataset, weights),
        )
        if _expects_effects(spec, protocol):
            kinds = {"perturbed": True, "unperturbed": False}
            found = {name: calibration(data, dataset, weights, len(edges), kind) for name, kind in kinds.items()}
            common["truth"] = replace(common["truth"], **found)
    result = RunResult(
        **common,
        method=method_label(spec.method),
        data=data_name(spec.data),
        title=data.title,
        simulated=data.simulated,
        data_settings=data.settings,
        regime=spec.regime,
        fraction=spec.fraction,
        seed=spec.seed,
        seconds=seconds,
        peak_megabytes=memory.peak_megabytes,
        stability=_stability(spec, protocol, dataset, data, num_edges) if protocol.stability else float("nan"),
        machine=describe_machine(),
    )
    with atomic_run_directory(directory) as scratch:
        _write_causalbench_files(scratch, spec, protocol, scores, edges, seconds)
    result.write(directory)
    return result


def _infer(
    spec: RunSpec, protocol: EvaluationProtocol, dataset: PerturbationDataset, data: BenchmarkDataset, num_edges: int
) -> tuple[Edges, np.ndarray]:
    """Return the edges, best first, and the weights of all pairs of the dataset's genes, source × target."""
    if spec.method == ORACLE:
        assert data.truth is not None, "the plan lets the oracle see simulated data only"
        names = data.held_out.gene_names
        table = rank_edges(np.abs(data.truth.effects), num_edges).table(names)
        order = [names.index(gene) for gene in dataset.gene_names]
        weights = np.abs(data.truth.effects[np.ix_(order, order)])
    else:
        network = infer_network(dataset, method_config(spec.method, protocol), spec.seed, spec.method)
        table, weights = network.edges(num_edges, complete=True), network.ranked_weights()
    return list(zip(table["source"], table["target"], strict=True)), weights


def _expects_effects(spec: RunSpec, protocol: EvaluationProtocol) -> bool:
    """Return whether a method's weights are expected effects on the scale of the data."""
    if spec.method == ORACLE or find_method(spec.method).baseline:
        return False
    settings = find_method(spec.method).settings(method_config(spec.method, protocol))
    return settings.model == "evidence" and settings.output.rank_by == "total"


def _stability(
    spec: RunSpec, protocol: EvaluationProtocol, dataset: PerturbationDataset, data: BenchmarkDataset, num_edges: int
) -> float:
    """Return the share of the edges that two halves of the cells have in common; NaN for the oracle."""
    if spec.method == ORACLE:
        return float("nan")
    first = np.random.default_rng(0).permutation(dataset.num_cells) % 2 == 0
    halves = (
        PerturbationDataset(dataset.expression[half], dataset.gene_names, dataset.intervention[half])
        for half in (first, ~first)
    )
    edges, others = (set(_infer(spec, protocol, half, data, num_edges)[0]) for half in halves)
    return len(edges & others) / num_edges


def _write_causalbench_files(
    directory: Path, spec: RunSpec, protocol: EvaluationProtocol, scores: Scores, edges: Edges, seconds: float
) -> None:
    """Write the three files of ``causalbench_run``."""
    import pandas as pd

    arguments: dict[str, Any] = {
        # Not "custom": the challenge's plotting script takes runs with the same model_name for one method.
        "model_name": method_label(spec.method),
        "dataset_name": protocol.dataset_name,
        "inference_function_file_path": str(PLUGIN_FILE),
        "model_seed": spec.seed,
        "training_regime": _REGIMES[spec.regime],
        "partial_intervention_seed": spec.seed,
        "fraction_partial_intervention": spec.fraction if spec.regime == PARTIAL else 1.0,
        "subset_data": 1.0,
        "exp_id": spec.name,
        "max_path_length": protocol.max_path_length,
        "omission_estimation_size": scores.omissions,  # as many as were drawn: with more, CausalBench would never end
        "filter": protocol.do_filter,
    }
    (directory / "arguments.json").write_text(json.dumps(arguments), encoding="utf-8")
    (directory / "metrics.json").write_text(json.dumps({**scores.metrics, "run_time": seconds}), encoding="utf-8")
    pd.DataFrame(edges).to_csv(directory / "output_network.csv")
