"""Time CausalBench's evaluators and ours side by side, each from the start of a process to all numbers.

    python scripts/benchmarks/evaluator.py DATA --dataset-name weissmann_rpe1 --do-filter

DATA is a benchmark directory, such as one that `prepare` made. Both get the same 1,000 random edges: CausalBench as the
result of a model in `causalbench_run`, we as a file. Ours runs twice: first without, then with its cache of the
reference networks. Ends with 1 if any number differs. Prints tables in Markdown; takes some minutes at true size.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pandas as pd

from catran_causalbench.causalbench.dataset_spec import DATASET_NAMES, DatasetSpec
from catran_causalbench.causalbench.metadata import describe_data
from catran_causalbench.causalbench.network_cache import cache_files
from catran_causalbench.causalbench.npz import read_npz
from catran_causalbench.utils.hardware import describe_machine

EDGES, OMISSIONS = 1_000, 500

MODEL = """
import pandas
from causalscbench.models.abstract_model import AbstractInferenceModel

class EdgesOfAFile(AbstractInferenceModel):
    def __call__(self, expression_matrix, interventions, gene_names, training_regime, seed=0):
        return list(pandas.read_csv({path!r}).itertuples(index=False, name=None))
"""
# Runs CausalBench and says how many seconds each of its stages took.
THEIRS = """
import sys, time, json, importlib.util
start = time.perf_counter()
from causalscbench.apps.main_app import MainApp
from causalscbench.models.training_regimes import TrainingRegime
seconds = {"imports": time.perf_counter() - start}
app = MainApp(training_regime=TrainingRegime.Interventional, **json.loads(sys.argv[1]))
stages = {"load_data": "cells", "load_evaluators": "networks", "load_model": "models", "train_and_evaluate": "edges"}
for name, stage in stages.items():
    start = time.perf_counter()
    result = getattr(app, name)()
    seconds[stage] = time.perf_counter() - start
print(json.dumps({"metrics": result, "seconds": seconds}))
"""


def main() -> None:
    """Time both, check that they agree, and print the times."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--dataset-name", choices=DATASET_NAMES, default=DATASET_NAMES[0])
    parser.add_argument("--do-filter", action="store_true")
    options = parser.parse_args()
    spec = DatasetSpec(options.dataset_name, options.do_filter)
    genes = read_npz(spec.path(options.data), ["var_names"])["var_names"].astype(str).tolist()
    pairs = [(source, target) for source in genes for target in genes if source != target]
    with tempfile.TemporaryDirectory() as folder:
        edges = Path(folder, "edges.csv")
        pd.DataFrame(random.Random(0).sample(pairs, EDGES), columns=["source", "target"]).to_csv(edges, index=False)
        their_seconds, theirs = causalbench(options.data, spec, edges)
        for path in cache_files(options.data, spec):
            path.unlink(missing_ok=True)
        (first, ours), (again, _) = (catran(options.data, spec, edges) for _ in range(2))
    theirs["metrics"].pop("run_time")
    if not agree(ours["metrics"], theirs["metrics"]):
        raise SystemExit(f"the metrics differ: {theirs['metrics']} and {ours['metrics']}")

    machine = describe_machine()
    print(f"{describe_data(options.data)['title']}; {len(genes)} genes, {EDGES:,} random edges, {OMISSIONS} omissions")
    print(f"{machine['cores']} cores of an {machine['processor']}\n")
    print("| from start to all numbers | seconds | ratio |\n|---|---|---|")
    for name, seconds in (("causalbench 1.1.2", their_seconds), ("`evaluate`, first", first), ("`evaluate`", again)):
        print(f"| {name} | {seconds:.1f} | {their_seconds / seconds:.0f} |")
    stages = ", ".join(f"{stage} {seconds:.1f}" for stage, seconds in theirs["seconds"].items())
    print(f"\nCausalBench's seconds: {stages}. All numbers are equal.")


def causalbench(data: Path, spec: DatasetSpec, edges: Path) -> tuple[float, dict[str, Any]]:
    """Return the seconds that ``causalbench_run`` takes with a model that returns the edges, and what it says."""
    model = edges.with_name("model.py")
    model.write_text(MODEL.format(path=str(edges)))
    arguments = {
        "output_directory": str(edges.parent),
        "data_directory": str(data),
        "model_name": "custom",
        "inference_function_file_path": str(model),
        "dataset_name": spec.dataset_name,
        "max_path_length": 1,
        "omission_estimation_size": OMISSIONS,
        "filter": spec.do_filter,
    }
    seconds, output = run(sys.executable, "-W", "ignore", "-c", THEIRS, json.dumps(arguments))
    return seconds, json.loads(output.splitlines()[-1])


def catran(data: Path, spec: DatasetSpec, edges: Path) -> tuple[float, dict[str, Any]]:
    """Return the seconds that the command ``evaluate`` takes, and what it says."""
    options = ["--dataset-name", spec.dataset_name, *["--do-filter"] * spec.do_filter]
    options += ["--omission-estimation-size", str(OMISSIONS), "--json"]
    command = [sys.executable, "-m", "catran_causalbench", "evaluate", str(data), str(edges), *options]
    seconds, output = run(*command)
    return seconds, json.loads(output)


def run(*command: str) -> tuple[float, str]:
    """Return the seconds that a command takes, and its output."""
    start = time.perf_counter()
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return time.perf_counter() - start, output


def agree(one: Any, other: Any) -> bool:
    """Return whether nested metrics agree; means may differ by the order in which they are summed."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(agree(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(agree(a, b) for a, b in zip(one, other, strict=True))
    return abs(one - other) <= 1e-9 * abs(one)


if __name__ == "__main__":
    main()
