#!/usr/bin/env python
"""Time every preset and `evaluate` on an idle machine, and while other processes use the cores.

    python scripts/benchmarks/busy_machine.py                                    # about twenty minutes on 2 cores
    python scripts/benchmarks/busy_machine.py evidence evaluate --repeats 5      # some of them

Each measurement is a process of its own, in turn: with threads as they come on the idle machine, the same beside busy
processes, and with OMP_NUM_THREADS=1 beside them. Imports, reading and compiling are not part of its time. Threads that
wait for others without giving up their core would show in the ratio of the last two. The data are SIMULATED. Prints a
table in Markdown: medians and ranges.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd

from catran_causalbench import PerturbationDataset, infer_network, presets, validate_dataset
from catran_causalbench.causalbench.benchmark_dataset import BenchmarkDataset
from catran_causalbench.causalbench.dataset_spec import INTERVENTIONAL, DatasetSpec
from catran_causalbench.cli import app
from catran_causalbench.utils.hardware import describe_machine

EVALUATE = "evaluate"


def main() -> None:
    """Simulate a screen, time everything on it, and print the table."""
    options = parsed_options()
    if options.worker:
        print(f"\n{seconds_of(options.worker, options.data)}")
        return
    tasks = options.tasks or [*presets(), EVALUATE]
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder, "simulated")
        simulate = ("simulate", "--output", str(data), "--size", options.size)
        command = [sys.executable, "-m", "catran_causalbench", *simulate]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        times = {task: measured(task, data, options.repeats, options.busy) for task in tasks}
    machine = describe_machine()
    print(f"{machine['cores']} cores of an {machine['processor']}; {options.busy} busy processes beside it;")
    print(f"SIMULATED data of the size {options.size}; median of {options.repeats} runs (least to most)\n")
    print("| | idle machine | busy machine | busy machine, one thread | ratio of the last two |\n|---|---|---|---|---|")
    for task, (idle, busy, single) in times.items():
        ratio = statistics.median(busy) / statistics.median(single)
        print(f"| `{task}` | {shown(idle)} | {shown(busy)} | {shown(single)} | {ratio:.2f} |")


def parsed_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", nargs="*", help=f"presets or {EVALUATE}; all by default")
    parser.add_argument("--busy", type=int, default=4, help="processes that compute all the time")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--size", default="small", help="of the simulated data")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--data", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


@contextmanager
def busy_processes(number: int) -> Iterator[None]:
    """Keep some processes computing while the block runs."""
    processes = [multiprocessing.Process(target=compute_forever, daemon=True) for _ in range(number)]
    for process in processes:
        process.start()
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.join()


def compute_forever() -> None:
    """Use one core."""
    while True:
        sum(range(10_000))


def measured(task: str, data: Path, repeats: int, busy: int) -> list[list[float]]:
    """Return the seconds on the idle machine, on the busy one, and there with one thread, measured in turn."""
    thread_variables = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    plain = {name: value for name, value in os.environ.items() if name not in thread_variables}
    conditions = (0, plain), (busy, plain), (busy, {**plain, "OMP_NUM_THREADS": "1"})
    times: list[list[float]] = [[] for _ in conditions]
    for _ in range(repeats):
        for seconds, (number, environment) in zip(times, conditions, strict=True):
            command = [sys.executable, __file__, "--worker", task, "--data", str(data)]
            with busy_processes(number):
                output = subprocess.run(command, check=True, env=environment, capture_output=True, text=True).stdout
            seconds.append(float(output.split()[-1]))
    return times


def seconds_of(task: str, data: Path) -> float:
    """Return how long a preset or the evaluation takes in this process, once everything is imported and compiled."""
    dataset = BenchmarkDataset.read(data, DatasetSpec()).training_set(INTERVENTIONAL, 1.0, 0)
    preset = "evidence" if task == EVALUATE else task
    infer_network(tiny_dataset(), preset)
    if task != EVALUATE:
        start = time.perf_counter()
        infer_network(dataset, preset)
        return time.perf_counter() - start
    edges = data / "edges.csv"
    pairs = np.random.default_rng(0).permuted(np.tile(dataset.gene_names, (2000, 1)), axis=1)[:, :2]
    pd.DataFrame(pairs, columns=["source", "target"]).drop_duplicates().to_csv(edges, index=False)
    start = time.perf_counter()
    app(["evaluate", str(data), str(edges), "--json"], standalone_mode=False)
    return time.perf_counter() - start


def tiny_dataset() -> PerturbationDataset:
    """Return random cells on which every preset compiles what it needs in a moment."""
    genes = [f"gene{number}" for number in range(12)]
    expression = np.random.default_rng(0).poisson(2.0, (600, len(genes)))
    return validate_dataset(np.log1p(expression), [*genes, *["non-targeting"] * 3] * 40, genes)


def shown(seconds: list[float]) -> str:
    """Return median and range."""
    return f"{statistics.median(seconds):.1f} s ({min(seconds):.1f} to {max(seconds):.1f})"


if __name__ == "__main__":
    main()
