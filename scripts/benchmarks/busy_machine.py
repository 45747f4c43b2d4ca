#!/usr/bin/env python
"""Time every preset and `evaluate` on an idle machine, and while other processes use the cores.

    python scripts/benchmarks/busy_machine.py --size tiny                        # about ten minutes on 2 cores
    python scripts/benchmarks/busy_machine.py evidence evaluate --repeats 5      # some of them
    python scripts/benchmarks/busy_machine.py paper --busy 0                     # on the idle machine only

Each condition is a process of its own that does all tasks, in turn with the others: with threads as they come on the
idle machine; the same with torch's own threads, which training keeps to one; beside busy processes; and with
OMP_NUM_THREADS=1 beside them. Imports, reading and compiling come before all that. Threads that wait for others
without giving up their core would show in the ratio of the last two. The data are SIMULATED. Prints a table in
Markdown: medians and ranges.
"""

from __future__ import annotations

import argparse
import io
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout
from pathlib import Path
from subprocess import PIPE
from unittest.mock import patch

import numpy as np
import pandas as pd

from catran_causalbench import PerturbationDataset, infer_network, presets, validate_dataset
from catran_causalbench.causalbench.benchmark_dataset import BenchmarkDataset
from catran_causalbench.causalbench.dataset_spec import INTERVENTIONAL, DatasetSpec
from catran_causalbench.cli import app
from catran_causalbench.utils import parallel
from catran_causalbench.utils.hardware import describe_machine

EVALUATE = "evaluate"
IDLE, TORCH_THREADS = "idle machine", "idle machine, torch's own threads"
BUSY, ONE_THREAD = "busy machine", "busy machine, one thread"
READY = "everything is imported and compiled"


def main() -> None:
    """Simulate a screen, time everything on it, and print the table."""
    options = parsed_options()
    tasks = options.tasks or [*presets(), EVALUATE]
    if options.worker:
        print("\n" + json.dumps(seconds_of_all(tasks, options.data, options.worker == TORCH_THREADS)))
        return
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder, "simulated")
        simulate = ("simulate", "--output", str(data), "--size", options.size)
        command = [sys.executable, "-m", "catran_causalbench", *simulate]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        times = measured(tasks, data, options.repeats, options.busy)
    machine = describe_machine()
    print(f"{machine['cores']} cores of an {machine['processor']}; {options.busy} busy processes beside it;")
    print(f"SIMULATED data of the size {options.size}; median of {options.repeats} runs (least to most)\n")
    print(f"| | {' | '.join(times)} | ratio of the last two |\n{'|---' * (len(times) + 2)}|")
    for number, task in enumerate(tasks):
        columns = [[run[number] for run in runs] for runs in times.values()]
        before, last = (statistics.median(seconds) for seconds in columns[-2:])
        print(f"| `{task}` | {' | '.join(map(shown, columns))} | {before / last:.2f} |")


def parsed_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", nargs="*", help=f"presets or {EVALUATE}; all by default")
    parser.add_argument("--busy", type=int, default=4, help="processes that compute all the time; 0: idle only")
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


def measured(tasks: list[str], data: Path, repeats: int, busy: int) -> dict[str, list[list[float]]]:
    """Return the seconds of all tasks in each run, by the condition; the conditions take turns."""
    thread_variables = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    plain = {name: value for name, value in os.environ.items() if name not in thread_variables}
    times: dict[str, list[list[float]]] = {TORCH_THREADS: [], IDLE: []}
    if busy:
        times = {**times, BUSY: [], ONE_THREAD: []}
    for _ in range(repeats):
        for condition, runs in times.items():
            command = [sys.executable, __file__, *tasks, "--worker", condition, "--data", str(data)]
            environment = {**plain, "OMP_NUM_THREADS": "1"} if condition == ONE_THREAD else plain
            with subprocess.Popen(command, env=environment, stdin=PIPE, stdout=PIPE, text=True) as worker:
                assert worker.stdout, "a pipe"
                while worker.stdout.readline().strip() != READY:
                    assert worker.poll() is None, "the worker failed"
                with busy_processes(busy if condition in (BUSY, ONE_THREAD) else 0):
                    output, _ = worker.communicate("go\n")
            runs.append(json.loads(output.splitlines()[-1]))
            print(condition, dict(zip(tasks, runs[-1], strict=True)), file=sys.stderr)
    return times


def seconds_of_all(tasks: list[str], data: Path, torch_threads: bool) -> list[float]:
    """Import and compile everything, say so, wait for a line, and return how long each task takes in this process."""
    benchmark = BenchmarkDataset.read(data, DatasetSpec())
    dataset = benchmark.training_set(INTERVENTIONAL, 1.0, 0)
    edges, genes = data / "edges.csv", benchmark.held_out.gene_names
    pairs = np.random.default_rng(0).permuted(np.tile(genes, (2000, 1)), axis=1)[:, :2]
    pd.DataFrame(pairs, columns=["source", "target"]).drop_duplicates().to_csv(edges, index=False)

    def do(task: str, cells: PerturbationDataset) -> None:
        if task != EVALUATE:
            infer_network(cells, task)
            return
        with redirect_stdout(io.StringIO()):
            app(["evaluate", str(data), str(edges), "--json"], standalone_mode=False)

    def seconds_of(task: str) -> float:
        start = time.perf_counter()
        do(task, dataset)
        return time.perf_counter() - start

    with patch.object(parallel, "torch_on_one_thread", nullcontext) if torch_threads else nullcontext():
        for task in tasks:
            do(task, tiny_dataset())
        print(READY, flush=True)
        sys.stdin.readline()
        return [seconds_of(task) for task in tasks]


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
