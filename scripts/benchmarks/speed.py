#!/usr/bin/env python
"""Time and memory of the reference and the factored implementation, in one process, and of whole trainings.

Runs on a GPU where there is one, else on the CPU. The cells are random counts: time does not depend on their values.
Results go to a JSON file, tables in Markdown and a figure.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import numpy as np
import torch
from speed_report import draw, tables

from catran_causalbench import CatranConfig, PerturbationDataset, infer_network
from catran_causalbench.data.dataset import CONTROL
from catran_causalbench.models.catran.config import CatranSettings
from catran_causalbench.models.catran.factored_module import FactoredCatranModule
from catran_causalbench.models.catran.module import CatranModule
from catran_causalbench.models.catran.training_plan import CatranTrainingPlan
from catran_causalbench.models.evidence.config import EvidenceSettings
from catran_causalbench.models.evidence.training_plan import EvidenceTrainingPlan
from catran_causalbench.training.run_directory import RunDirectory
from catran_causalbench.training.trainer import train
from catran_causalbench.utils.hardware import best_device, describe_machine

DEVICE = best_device()
CHANNELS = 41
NODES = 40  # typical number of Chebyshev nodes per gene, for counting operations
REFERENCE_TENSORS = 16  # cells × genes × channels, in memory at the reference's peak: to skip what would not fit
SIZES = {"RPE1": (383, 92_000), "K562": (622, 129_000)}
PAPER = CatranSettings()
REFERENCE = CatranSettings(implementation="reference")


def main() -> None:
    """Run the benchmarks and write their results."""
    arguments = parsed_arguments()
    limit = arguments.reference_gigabytes
    results: dict[str, Any] = {
        "machine": {**describe_machine(), "torch": torch.__version__},
        "ceilings": ceilings(),
        "warm_up_seconds": warm_up(),
    }
    genes, cells = ([100, 500], [512, 2048]) if arguments.quick else ([100, 250, 500, 1000], [512, 2048, 8192])
    results["passes"] = [compare_passes(n, b, limit, results["ceilings"]) for n in genes for b in cells]
    results["steps"] = [compare_steps(n, limit) for n in ([500] if arguments.quick else [500, 1000, 2000, 4000, 8000])]
    if not arguments.quick:
        results["trainings"] = [time_training(name, *size) for name, size in SIZES.items()]
        results["lightning"] = lightning_overhead(*SIZES["RPE1"])
    results["repeatable"] = repeatability()
    arguments.output.mkdir(parents=True, exist_ok=True)
    (arguments.output / "speed.json").write_text(json.dumps(results, indent=2))
    (arguments.output / "speed.md").write_text(tables(results))
    draw(results, arguments.output / "speed.png")
    print(tables(results))
    print(f"Wrote speed.json, speed.md and speed.png in {arguments.output}.")


def parsed_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("speed"), help="folder for speed.json and speed.png")
    parser.add_argument("--quick", action="store_true", help="a few sizes only, no whole trainings")
    parser.add_argument("--reference-gigabytes", type=float, default=12, help="skip the reference where it takes more")
    return parser.parse_args()


def ceilings() -> dict[str, float]:
    """Measure the machine's peak rates: float32 operations and bytes per second."""
    matrix = torch.randn(2048, 2048, device=DEVICE)
    source = torch.randn(2**26, device=DEVICE)
    target = torch.empty_like(source)
    return {
        "flops": 2 * 2048**3 / median_seconds(lambda: matrix @ matrix, 7),
        "bytes": 2 * source.numel() * 4 / median_seconds(lambda: target.copy_(source), 7),
    }


def median_seconds(action: Any, repeats: int) -> float:
    """Return the median time of several calls, after one that is not counted."""
    action()
    times = []
    for _ in range(repeats):
        synchronise()
        start = time.perf_counter()
        action()
        synchronise()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def on_gpu() -> bool:
    """Return whether the benchmark runs on a GPU."""
    return DEVICE.type == "cuda"


def synchronise() -> None:
    """Wait for the GPU, if there is one."""
    if on_gpu():
        torch.cuda.synchronize()


def peak_gigabytes(action: Any) -> float:
    """Return the peak memory during a call, above what was in use before it."""
    gc.collect()
    if on_gpu():
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        action()
        return (torch.cuda.max_memory_allocated() - before) / 1e9
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)  # freed memory that the allocator keeps would hide the need
        Path("/proc/self/clear_refs").write_text("5")  # resets the high-water mark of the resident memory
    except OSError:
        return float("nan")
    before = status_gigabytes("VmRSS")
    action()
    return status_gigabytes("VmHWM") - before


def status_gigabytes(field: str) -> float:
    """Read one field of this process's memory status (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1e6


def warm_up() -> float:
    """Compile the head before anything is timed; return the seconds it took."""
    start = time.perf_counter()
    forward_and_backward(FactoredCatranModule(50).to(DEVICE), 512, 50)()
    synchronise()
    return time.perf_counter() - start


def forward_and_backward(module: CatranModule, cells: int, genes: int) -> Callable[[], torch.Tensor]:
    """Return a function that runs one forward and backward pass."""
    generator = torch.Generator().manual_seed(0)
    expression = torch.rand(cells, genes, generator=generator).mul(3).to(DEVICE)
    columns = torch.arange(genes, device=DEVICE)

    def run() -> torch.Tensor:
        module.zero_grad()
        prediction, _ = module(expression, columns)
        torch.nn.functional.huber_loss(prediction, expression).backward()
        return prediction.detach()

    return run


def compare_passes(genes: int, cells: int, limit: float, ceiling: dict[str, float]) -> dict[str, Any]:
    """Compare forward and backward pass of both implementations, after checking that they agree."""
    reference = CatranModule(genes, generator=torch.Generator().manual_seed(0)).to(DEVICE)
    factored = FactoredCatranModule(genes).to(DEVICE)
    factored.load_state_dict(reference.state_dict())
    fast = forward_and_backward(factored, cells, genes)
    row: dict[str, Any] = {"genes": genes, "cells": cells, **cost("factored", fast, 9)}
    floors = floor_seconds(cells, genes, ceiling)
    row |= {f"times_{name}_floor": row["factored_seconds"] / floor for name, floor in floors.items()}
    if reference_gigabytes(cells, genes) > limit:
        return row
    slow = forward_and_backward(reference, cells, genes)
    row = with_ratios(row | cost("reference", slow, 3 if on_gpu() else 1))
    factored.load_state_dict(reference.state_dict())
    prediction, expected = fast(), slow()
    difference = float((prediction - expected).abs().max() / expected.abs().max())
    if not difference < 1e-3:  # the reference's own rounding in float32; the tests compare in float64
        raise SystemExit(f"The implementations disagree at {genes} genes × {cells} cells: {difference:.1e} relative.")
    return row | {"difference": difference}


def cost(name: str, action: Callable[[], Any], repeats: int) -> dict[str, float]:
    """Measure time and peak memory of one implementation."""
    return {f"{name}_seconds": median_seconds(action, repeats), f"{name}_gigabytes": peak_gigabytes(action)}


def with_ratios(row: dict[str, Any]) -> dict[str, Any]:
    """Add how much less the factored implementation takes."""
    ratios = {"ratio": "seconds", "memory_ratio": "gigabytes"}
    return row | {name: row[f"reference_{unit}"] / max(row[f"factored_{unit}"], 1e-9) for name, unit in ratios.items()}


def reference_gigabytes(cells: int, genes: int) -> float:
    """Estimate the peak memory of the reference."""
    return cells * genes * CHANNELS * 4 * REFERENCE_TENSORS / 1e9


def compare_steps(genes: int, limit: float) -> dict[str, Any]:
    """Compare a whole training step of both implementations, with 500 genes and 2,048 cells in a minibatch."""
    dataset = random_dataset(genes, 8 * PAPER.cells_per_minibatch)
    row = {"genes": genes, **cost("factored", bare_step(dataset, PAPER)[0], 20)}
    if reference_gigabytes(PAPER.cells_per_minibatch, PAPER.genes_per_minibatch) > limit:
        return row
    return with_ratios(row | cost("reference", bare_step(dataset, REFERENCE)[0], 3 if on_gpu() else 1))


def bare_step(dataset: PerturbationDataset, settings: CatranSettings) -> tuple[Callable[[], None], CatranTrainingPlan]:
    """Return a function that takes training steps in a bare loop (minibatch, losses, backward, Lion), and its plan."""
    plan = CatranTrainingPlan(dataset, settings, 0).to(DEVICE)
    optimiser = plan.configure_optimizers()
    minibatches = chain.from_iterable(repeat(plan.train_dataloader()))

    def step() -> None:
        minibatch = next(minibatches)
        optimiser.zero_grad()
        plan.training_step(minibatch, 0)["loss"].backward()
        optimiser.step()

    return step, plan


def floor_seconds(cells: int, genes: int, ceiling: dict[str, float]) -> dict[str, float]:
    """Estimate the least time of a forward and backward pass: by its operations, and by moving every operand once.

    The mixing by attention is one matrix product forward and one backward, since x needs no gradient. The head's
    polynomials take 4 operations a node forward and 8 backward. At least x, s and p are written or read, and the
    gradients of p and s.
    """
    operations = 2 * 2 * cells * genes * genes + cells * genes * NODES * 12
    moved = 4 * cells * genes * 8
    return {"arithmetic": operations / ceiling["flops"], "memory": moved / ceiling["bytes"]}


def random_dataset(genes: int, cells: int) -> PerturbationDataset:
    """Return random counts with a tenth of control cells."""
    rng = np.random.default_rng(0)
    expression = np.empty((cells, genes), dtype=np.float32)
    for start in range(0, cells, 4096):
        expression[start : start + 4096] = np.log1p(rng.poisson(1.0, (min(4096, cells - start), genes)))
    intervention = rng.integers(0, genes, cells)
    intervention[: cells // 10] = CONTROL
    return PerturbationDataset(expression, tuple(f"g{i:05d}" for i in range(genes)), intervention)


def time_training(name: str, genes: int, cells: int) -> dict[str, Any]:
    """Time 25 epochs of the paper's model and the training of the evidence model, and one step of the reference."""
    dataset = random_dataset(genes, cells)
    row: dict[str, Any] = {"size": name, "genes": genes, "cells": cells}
    row["seconds"] = seconds_of(lambda: train(CatranTrainingPlan(dataset, PAPER, 0)))
    row["evidence_seconds"] = seconds_of(lambda: train_evidence(dataset))
    steps = PAPER.epochs * (cells // PAPER.cells_per_minibatch)
    reference = median_seconds(bare_step(dataset, REFERENCE)[0], 1) * steps
    return row | {"reference_seconds_extrapolated": reference, "ratio": reference / row["seconds"]}


def train_evidence(dataset: PerturbationDataset) -> None:
    """Train the evidence model."""
    plan = EvidenceTrainingPlan(dataset, EvidenceSettings(), 0)
    train(plan)
    plan.trained_module()


def seconds_of(action: Callable[[], Any]) -> float:
    """Time one call."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def lightning_overhead(genes: int, cells: int, epochs: int = 10) -> dict[str, float]:
    """Measure what Lightning adds to a bare loop, and what logs and checkpoints add to Lightning."""
    dataset = random_dataset(genes, cells)
    settings = replace(PAPER, epochs=epochs)
    per_epoch = cells // settings.cells_per_minibatch
    bare = median_seconds(bare_step(dataset, settings)[0], per_epoch - 1) * epochs * per_epoch
    train(CatranTrainingPlan(dataset, replace(settings, epochs=1), 0))
    plain = seconds_of(lambda: train(CatranTrainingPlan(dataset, settings, 0)))
    with (
        tempfile.TemporaryDirectory() as folder,
        RunDirectory.prepare(folder, {"benchmark": "speed"}, dataset, 0) as directory,
    ):
        logged = seconds_of(lambda: train(CatranTrainingPlan(dataset, settings, 0), directory))
    return {"bare_seconds": bare, "lightning_over_bare": plain / bare, "logged_over_lightning": logged / plain}


def repeatability(genes: int = 400, cells: int = 20_480) -> dict[str, float]:
    """Train twice with one seed; return whether all weights, and how many of 1,000 edges, are the same."""
    dataset = random_dataset(genes, cells)
    config = CatranConfig(model="catran", catran=replace(PAPER, epochs=2))
    first, second = (infer_network(dataset, config) for _ in range(2))
    pairs = [set(zip(table["source"], table["target"], strict=True)) for table in (first.edges(), second.edges())]
    return {
        "same_bits": np.array_equal(first.weights, second.weights),
        "edges_in_common": len(pairs[0] & pairs[1]) / len(pairs[0]),
    }


if __name__ == "__main__":
    main()
