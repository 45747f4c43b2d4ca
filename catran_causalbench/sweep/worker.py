"""One run of a sweep, in whatever process: infer, score, store."""

from __future__ import annotations

import gc
import json
import os
import threading
import time
import traceback
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from catran_causalbench.causalbench.benchmark_dataset import BenchmarkDataset
from catran_causalbench.causalbench.dataset_spec import INTERVENTIONAL, OBSERVATIONAL, PARTIAL, DatasetSpec
from catran_causalbench.causalbench.fingerprint import file_states
from catran_causalbench.errors import InputError
from catran_causalbench.methods import ORACLE, infer_edges, label, load_method, oracle_edges, plugin_file
from catran_causalbench.sweep.plan import RIVAL_TRAINING, EvaluationProtocol, Run
from catran_causalbench.sweep.records import RunResult
from catran_causalbench.sweep.scoring import Edges, Scores, score_edges
from catran_causalbench.sweep.store import atomic_run_directory, is_done, write_failure
from catran_causalbench.utils.fingerprint import code_version
from catran_causalbench.utils.hardware import PeakMemory, describe_machine

# As the harness spells them in arguments.json.
_REGIMES = {OBSERVATIONAL: "Observational", PARTIAL: "PartialIntervational", INTERVENTIONAL: "Interventional"}

# Dask's workers may have many threads, but runs in one process would share its random numbers and its memory.
_ONE_AT_A_TIME = threading.Lock()


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes
    ----------
    run
        Which.
    seconds, mean_wasserstein
        Of its inference; NaN where it failed.
    error
        What went wrong; empty where nothing did.
    """

    run: Run
    seconds: float = float("nan")
    mean_wasserstein: float = float("nan")
    error: str = ""


def execute_by(code: str, run: Run, rules: EvaluationProtocol, output: Path) -> Outcome:
    """Do one run as :func:`execute` does, if this process has the code that the sweep was started with.

    Raises
    ------
    InputError
        It has other code, with which runs would not compare.
    """
    if code_version() != code:
        raise InputError.of("scheduler", f"a worker with code {code_version()}", f"{code}, as where the sweep started")
    return execute(run, rules, output)


def execute(run: Run, rules: EvaluationProtocol, output: Path) -> Outcome:
    """Do one run and store it, or why it failed, below the sweep's folder; a finished one is left as it is."""
    folder = output / run.folder
    try:
        with _ONE_AT_A_TIME:
            record = RunResult.read(folder) if is_done(folder) else _run(run, rules, folder)
    except (Exception, SystemExit) as error:
        write_failure(folder, error, traceback.format_exc())
        return Outcome(run, error=f"{type(error).__name__}: {error}")
    return Outcome(run, record.seconds, record.mean_wasserstein)


def _data(folder: Path, selection: DatasetSpec) -> BenchmarkDataset:
    return _cached_data(folder, selection, file_states(folder, selection))


@lru_cache(maxsize=1)  # runs on the same data come one after the other; a worker may outlive what a directory holds
def _cached_data(folder: Path, selection: DatasetSpec, _: tuple[tuple[int, int, int], ...]) -> BenchmarkDataset:
    return BenchmarkDataset.read(folder, selection)


def _run(run: Run, rules: EvaluationProtocol, folder: Path) -> RunResult:
    data = _data(run.data, rules.selection)
    os.environ[RIVAL_TRAINING] = repr(rules.dcdi_training_share)  # of the sweep, whatever the worker was started with
    edges, seconds, peak_megabytes = _inferred(run, rules.edges, data)
    scores = score_edges(data, edges, rules.max_path_length, rules.omission_estimation_size)
    record = RunResult(
        method=label(run.method),
        data=run.data.name,
        headline=data.title,
        simulated=data.simulated,
        regime=run.regime,
        fraction=run.fraction,
        seed=run.seed,
        num_edges=scores.num_edges,
        seconds=seconds,
        peak_megabytes=peak_megabytes,
        mean_wasserstein=scores.mean_wasserstein,
        false_omission_rate=scores.false_omission_rate,
        excess_wasserstein=scores.excess_wasserstein,
        wasserstein=scores.wasserstein,
        references=scores.references,
        truth=scores.truth,
        machine=describe_machine(),
    )
    with atomic_run_directory(folder) as scratch:
        _write_as_the_harness(scratch, run, rules, scores, edges, seconds)
    record.write(folder)
    return record


def _inferred(run: Run, num_edges: int, data: BenchmarkDataset) -> tuple[Edges, float, float]:
    """Give edges, seconds and the peak of the memory in megabytes."""
    load_method(run.method)
    gc.collect()
    with PeakMemory() as memory:
        start = time.perf_counter()
        if run.method == ORACLE:
            assert data.truth is not None, "the plan lets the oracle see simulated worlds only"
            edges = oracle_edges(data.truth.effects, data.held_out.gene_names, num_edges)
        else:
            dataset = data.training_set(run.regime, run.fraction, run.seed)
            edges = infer_edges(run.method, dataset, num_edges, run.seed)
        seconds = time.perf_counter() - start
    return edges, seconds, memory.peak_megabytes


def _write_as_the_harness(
    folder: Path, run: Run, rules: EvaluationProtocol, scores: Scores, edges: Edges, seconds: float
) -> None:
    """Write the three files of ``causalbench_run``.

    The challenge's plotting script takes runs of one ``model_name`` for one method, so it is the method's and not
    ``custom``. The omissions are those that were drawn, with which the harness would end too.
    """
    import pandas as pd

    arguments: dict[str, Any] = {
        "model_name": label(run.method),
        "dataset_name": rules.dataset_name,
        "inference_function_file_path": str(plugin_file(run.method)),
        "model_seed": run.seed,
        "training_regime": _REGIMES[run.regime],
        "partial_intervention_seed": run.seed,
        "fraction_partial_intervention": run.fraction if run.regime == PARTIAL else 1.0,
        "subset_data": 1.0,
        "exp_id": run.name,
        "max_path_length": rules.max_path_length,
        "omission_estimation_size": scores.omissions,
        "filter": rules.do_filter,
    }
    (folder / "arguments.json").write_text(json.dumps(arguments), encoding="utf-8")
    metrics = {**scores.metrics, "run_time": seconds}
    (folder / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    pd.DataFrame(edges).to_csv(folder / "output_network.csv")
