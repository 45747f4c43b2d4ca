#!/usr/bin/env python
"""Time and memory of the literal and the factored network, side by side in one process, and of whole fits.

Runs on a GPU where there is one, else on the CPU. The cells are random counts: time does not depend on what they say.
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

from catran_causalbench import CatranConfig, PerturbationDataset, load_config
from catran_causalbench.data.dataset import CONTROL
from catran_causalbench.inference import InferredNetwork
from catran_causalbench.models.catran.factored_module import FactoredCatranModule
from catran_causalbench.models.catran.module import CatranModule
from catran_causalbench.training.run_directory import RunDirectory
from catran_causalbench.training.trainer import CatranTrainingPlan, train
from catran_causalbench.utils.hardware import describe_machine

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
CHANNELS = 41
NODES = 40  # typical number of Chebyshev nodes per gene, for counting operations
LITERAL_TENSORS = 16  # cells × genes × channels, alive at the literal network's peak: for skipping what won't fit
SHAPES = {"RPE1": (383, 92_000), "K562": (622, 129_000)}
PAPER = load_config("paper")
LITERAL = replace(PAPER, network=replace(PAPER.network, form="literal"))


def main() -> None:
    """Run the parts that were asked for."""
    arguments = parsed_arguments()
    room = arguments.literal_gigabytes
    results: dict[str, Any] = {
        "machine": {**describe_machine(), "torch": torch.__version__},
        "ceilings": ceilings(),
        "warm_up_seconds": warm_up(),
    }
    genes, cells = ([100, 500], [512, 2048]) if arguments.quick else ([100, 250, 500, 1000], [512, 2048, 8192])
    results["passes"] = [compared_passes(n, b, room, results["ceilings"]) for n in genes for b in cells]
    results["steps"] = [compared_steps(n, room) for n in ([500] if arguments.quick else [500, 1000, 2000, 4000, 8000])]
    if not arguments.quick:
        results["fits"] = [fit(name, *shape) for name, shape in SHAPES.items()]
        results["lightning"] = lightning_overhead(*SHAPES["RPE1"])
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
    parser.add_argument("--quick", action="store_true", help="a few sizes only, no whole fits")
    parser.add_argument("--literal-gigabytes", type=float, default=12, help="skip the literal network above this")
    return parser.parse_args()


def ceilings() -> dict[str, float]:
    """Measure what the machine can do at best: float32 operations and bytes per second."""
    matrix = torch.randn(2048, 2048, device=DEVICE)
    source = torch.randn(2**26, device=DEVICE)
    target = torch.empty_like(source)
    return {
        "flops": 2 * 2048**3 / median_seconds(lambda: matrix @ matrix, 7),
        "bytes": 2 * source.numel() * 4 / median_seconds(lambda: target.copy_(source), 7),
    }


def median_seconds(action: Any, repeats: int) -> float:
    """Median of several timed calls, after one that is not counted."""
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
    """Whether a GPU is measured."""
    return DEVICE.type == "cuda"


def synchronise() -> None:
    """Wait for the GPU, if there is one."""
    if on_gpu():
        torch.cuda.synchronize()


def peak_gigabytes(action: Any) -> float:
    """Peak memory during a call, above what was in use before it."""
    gc.collect()
    if on_gpu():
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        action()
        return (torch.cuda.max_memory_allocated() - before) / 1e9
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)  # memory that was freed and kept would hide what is needed
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
    """Compile the head before anything is timed; seconds that took."""
    start = time.perf_counter()
    forward_and_backward(FactoredCatranModule(50).to(DEVICE), 512, 50)()
    synchronise()
    return time.perf_counter() - start


def forward_and_backward(network: CatranModule, cells: int, genes: int) -> Callable[[], torch.Tensor]:
    """Build a function that runs one forward and backward pass."""
    generator = torch.Generator().manual_seed(0)
    expression = torch.rand(cells, genes, generator=generator).mul(3).to(DEVICE)
    columns = torch.arange(genes, device=DEVICE)

    def run() -> torch.Tensor:
        network.zero_grad()
        prediction, _ = network(expression, columns)
        torch.nn.functional.huber_loss(prediction, expression).backward()
        return prediction.detach()

    return run


def compared_passes(genes: int, cells: int, literal_gigabytes: float, ceiling: dict[str, float]) -> dict[str, Any]:
    """Compare forward + backward of both forms, after checking that they agree."""
    literal = CatranModule(genes, generator=torch.Generator().manual_seed(0)).to(DEVICE)
    factored = FactoredCatranModule(genes).to(DEVICE)
    factored.load_state_dict(literal.state_dict())
    fast = forward_and_backward(factored, cells, genes)
    row: dict[str, Any] = {"genes": genes, "cells": cells, **cost("fast", fast, 9)}
    floors = floor_seconds(cells, genes, ceiling)
    row |= {f"times_{name}_floor": row["fast_seconds"] / floor for name, floor in floors.items()}
    if literal_needs(cells, genes) > literal_gigabytes:
        return row
    slow = forward_and_backward(literal, cells, genes)
    row = with_ratios(row | cost("literal", slow, 3 if on_gpu() else 1))
    factored.load_state_dict(literal.state_dict())
    prediction, expected = fast(), slow()
    difference = float((prediction - expected).abs().max() / expected.abs().max())
    if not difference < 1e-3:  # the literal network's own float32 rounding; the tests compare with float64
        raise SystemExit(f"The two forms disagree at {genes} genes × {cells} cells: {difference:.1e} relative.")
    return row | {"difference": difference}


def cost(form: str, action: Callable[[], Any], repeats: int) -> dict[str, float]:
    """Measure time and peak memory of one form."""
    return {f"{form}_seconds": median_seconds(action, repeats), f"{form}_gigabytes": peak_gigabytes(action)}


def with_ratios(row: dict[str, Any]) -> dict[str, Any]:
    """Add how much less the fast form takes."""
    ratios = {"ratio": "seconds", "memory_ratio": "gigabytes"}
    return row | {name: row[f"literal_{unit}"] / max(row[f"fast_{unit}"], 1e-9) for name, unit in ratios.items()}


def literal_needs(cells: int, genes: int) -> float:
    """Estimate the literal network's peak memory in gigabytes."""
    return cells * genes * CHANNELS * 4 * LITERAL_TENSORS / 1e9


def compared_steps(genes: int, literal_gigabytes: float) -> dict[str, Any]:
    """Compare a whole training step of both forms, with 500 of some genes and 2,048 cells in a minibatch."""
    dataset = random_dataset(genes, 8 * PAPER.training.cells_per_minibatch)
    row = {"genes": genes, **cost("fast", bare_step(dataset, PAPER)[0], 20)}
    if literal_needs(PAPER.training.cells_per_minibatch, PAPER.training.genes_per_minibatch) > literal_gigabytes:
        return row
    return with_ratios(row | cost("literal", bare_step(dataset, LITERAL)[0], 3 if on_gpu() else 1))


def bare_step(dataset: PerturbationDataset, config: CatranConfig) -> tuple[Callable[[], None], CatranTrainingPlan]:
    """Build a function that takes training steps in a bare loop: minibatch, both losses, backward, Lion."""
    training = CatranTrainingPlan(dataset, config, 0).to(DEVICE)
    optimiser = training.configure_optimizers()
    minibatches = chain.from_iterable(repeat(training.train_dataloader()))

    def step() -> None:
        minibatch = next(minibatches)
        optimiser.zero_grad()
        training.training_step(minibatch, 0)["loss"].backward()
        optimiser.step()

    return step, training


def floor_seconds(cells: int, genes: int, ceiling: dict[str, float]) -> dict[str, float]:
    """Count what forward + backward must do at least: operations, and bytes with every operand moved once.

    Attention's mixing is one matrix product forward and one backward, since x needs no gradient. The head's
    polynomials take 4 operations a node forward and 8 backward. Moved at least: x, s and p written or read, and the
    gradients of p and s.
    """
    operations = 2 * 2 * cells * genes * genes + cells * genes * NODES * 12
    moved = 4 * cells * genes * 8
    return {"arithmetic": operations / ceiling["flops"], "memory": moved / ceiling["bytes"]}


def random_dataset(genes: int, cells: int) -> PerturbationDataset:
    """Random counts with a tenth of control cells."""
    rng = np.random.default_rng(0)
    expression = np.empty((cells, genes), dtype=np.float32)
    for start in range(0, cells, 4096):
        expression[start : start + 4096] = np.log1p(rng.poisson(1.0, (min(4096, cells - start), genes)))
    intervention = rng.integers(0, genes, cells)
    intervention[: cells // 10] = CONTROL
    return PerturbationDataset(expression, tuple(f"g{i:05d}" for i in range(genes)), intervention)


def fit(name: str, genes: int, cells: int) -> dict[str, Any]:
    """Time 25 epochs as a user runs them, and the literal step for comparison."""
    dataset = random_dataset(genes, cells)
    start = time.perf_counter()
    train(dataset, PAPER)
    seconds = time.perf_counter() - start
    start = time.perf_counter()
    train(dataset, load_config("evidence"))
    evidence_seconds = time.perf_counter() - start
    steps = 25 * (cells // 2048)
    row = {"shape": name, "genes": genes, "cells": cells, "seconds": seconds, "evidence_seconds": evidence_seconds}
    literal = median_seconds(bare_step(dataset, LITERAL)[0], 1) * steps
    return row | {"literal_seconds_extrapolated": literal, "ratio": literal / seconds}


def lightning_overhead(genes: int, cells: int) -> dict[str, float]:
    """Measure what Lightning adds to a bare loop, and what logs and checkpoints add to Lightning."""
    dataset = random_dataset(genes, cells)
    config = PAPER
    epochs = 10
    config = replace(config, training=replace(config.training, epochs=epochs))
    steps = epochs * (cells // 2048)
    bare = median_seconds(bare_step(dataset, config)[0], cells // 2048 - 1) * steps
    train(dataset, replace(config, training=replace(config.training, epochs=1)))
    start = time.perf_counter()
    train(dataset, config)
    plain = time.perf_counter() - start
    with tempfile.TemporaryDirectory() as folder:
        logged_config = replace(config, output=replace(config.output, run_directory=folder))
        with RunDirectory.prepare(logged_config, dataset, 0) as run_directory:
            start = time.perf_counter()
            train(dataset, logged_config, folder=run_directory)
            logged = time.perf_counter() - start
    return {"bare_seconds": bare, "lightning_over_bare": plain / bare, "logged_over_lightning": logged / plain}


def repeatability(genes: int = 400, cells: int = 20_480) -> dict[str, float]:
    """Train twice with one seed, and say whether all weights and how many of 1,000 edges are the same."""
    dataset = random_dataset(genes, cells)
    config = replace(PAPER, training=replace(PAPER.training, epochs=2))
    first, second = (train(dataset, config) for _ in range(2))
    weights = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    edges = [InferredNetwork(network, dataset.gene_names).edges() for network in (first, second)]
    pairs = [set(zip(table["source"], table["target"], strict=True)) for table in edges]
    return {
        "same_bits": all(torch.equal(*pair) for pair in weights),
        "edges_in_common": len(pairs[0] & pairs[1]) / len(pairs[0]),
    }


if __name__ == "__main__":
    main()
