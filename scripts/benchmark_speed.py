#!/usr/bin/env python
"""Time and memory of the literal and the factored network, side by side in one process, and of whole fits.

The cells are random counts: time does not depend on what they say. Results go to a JSON file and a figure.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import platform
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from catran_causalbench import PerturbationDataset, load_config
from catran_causalbench.dataset import CONTROL
from catran_causalbench.factored import FactoredCatranNetwork
from catran_causalbench.losses import catran_losses
from catran_causalbench.network import CatranNetwork
from catran_causalbench.run_folder import RunFolder
from catran_causalbench.training import CatranTraining, train

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
CHANNELS = 41
NODES = 40  # typical number of Chebyshev nodes per gene, for counting operations
LITERAL_TENSORS = (
    16  # cells × genes × channels tensors alive at the literal network's peak, for skipping what won't fit
)
SHAPES = {"RPE1": (383, 92_000), "K562": (622, 129_000)}
PAPER = load_config("paper")


def main() -> None:
    """Run the parts that were asked for."""
    arguments = parsed_arguments()
    results: dict[str, Any] = {"machine": machine(), "ceilings": ceilings()}
    warm_up()
    genes, cells = ([100, 500], [512, 2048]) if arguments.quick else ([100, 250, 500, 1000], [512, 2048, 8192])
    results["steps"] = [compared(n, b, arguments.literal_gigabytes, results["ceilings"]) for n in genes for b in cells]
    if not arguments.quick:
        results["fits"] = [fit(name, *shape) for name, shape in SHAPES.items()]
        results["lightning"] = lightning_overhead(*SHAPES["RPE1"])
    arguments.output.mkdir(parents=True, exist_ok=True)
    (arguments.output / "speed.json").write_text(json.dumps(results, indent=2))
    show(results)
    draw(results, arguments.output / "speed.png")
    print(f"Wrote {arguments.output / 'speed.json'} and {arguments.output / 'speed.png'}.")


def parsed_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("speed"), help="folder for speed.json and speed.png")
    parser.add_argument("--quick", action="store_true", help="a few sizes only, no whole fits")
    parser.add_argument("--literal-gigabytes", type=float, default=12, help="skip the literal network above this")
    return parser.parse_args()


def machine() -> dict[str, str]:
    """Name what the figures were measured on."""
    name = torch.cuda.get_device_name() if DEVICE.type == "cuda" else cpu_name()
    return {"device": name, "threads": str(torch.get_num_threads()), "torch": torch.__version__}


def cpu_name() -> str:
    """Name the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


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


def synchronise() -> None:
    """Wait for the GPU, if there is one."""
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()


def peak_gigabytes(action: Any) -> float:
    """Peak memory during a call, above what was in use before it."""
    gc.collect()
    if DEVICE.type == "cuda":
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


def warm_up() -> None:
    """Compile the head before anything is timed, and say how long that took."""
    start = time.perf_counter()
    step = forward_and_backward(FactoredCatranNetwork(50).to(DEVICE), 512, 50)
    step()
    synchronise()
    print(f"Warm-up (compilation): {time.perf_counter() - start:.1f} s, not counted below.")


def forward_and_backward(network: CatranNetwork, cells: int, genes: int) -> Any:
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


def compared(genes: int, cells: int, literal_gigabytes: float, ceiling: dict[str, float]) -> dict[str, Any]:
    """Compare forward + backward of both forms, after checking that they agree."""
    literal = CatranNetwork(genes, generator=torch.Generator().manual_seed(0)).to(DEVICE)
    factored = FactoredCatranNetwork(genes).to(DEVICE)
    factored.load_state_dict(literal.state_dict())
    fast = forward_and_backward(factored, cells, genes)
    row: dict[str, Any] = {"genes": genes, "cells": cells}
    row["fast_gigabytes"] = peak_gigabytes(fast)
    row["fast_seconds"] = median_seconds(fast, 9)
    floors = floor_seconds(cells, genes, ceiling)
    row |= {f"times_{name}_floor": row["fast_seconds"] / floor for name, floor in floors.items()}
    if cells * genes * CHANNELS * 4 * LITERAL_TENSORS > literal_gigabytes * 1e9:
        return row | {"literal_seconds": None}
    slow = forward_and_backward(literal, cells, genes)
    row["literal_gigabytes"] = peak_gigabytes(slow)
    row["literal_seconds"] = median_seconds(slow, 3 if DEVICE.type == "cuda" else 1)
    factored.load_state_dict(literal.state_dict())
    prediction, expected = fast(), slow()
    difference = float((prediction - expected).abs().max() / expected.abs().max())
    if not difference < 1e-3:  # the literal network's own float32 rounding; the tests compare with float64
        raise SystemExit(f"The two forms disagree at {genes} genes × {cells} cells: {difference:.1e} relative.")
    row |= {"difference": difference, "ratio": row["literal_seconds"] / row["fast_seconds"]}
    return row | {"memory_ratio": row["literal_gigabytes"] / max(row["fast_gigabytes"], 1e-9)}


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
    literal = whole_step(dataset, "literal", 1)
    return {
        "shape": name, "genes": genes, "cells": cells, "steps": steps, "seconds": seconds,
        "evidence_seconds": evidence_seconds,
        "seconds_per_step": seconds / steps, "literal_seconds_per_step": literal,
        "literal_seconds_extrapolated": literal * steps, "ratio": literal * steps / seconds,
    }  # fmt: skip


def whole_step(dataset: PerturbationDataset, form: str, repeats: int) -> float:
    """Seconds of one training step in a bare loop: minibatch, both losses, backward, Lion."""
    config = PAPER
    module = CatranTraining(dataset, replace(config, network=replace(config.network, form=form)), 0).to(DEVICE)
    optimiser = module.configure_optimizers()
    minibatches = iter(module.train_dataloader())

    def step() -> None:
        minibatch = next(minibatches)
        prediction, attention = module.network(minibatch.corrupted, minibatch.genes)
        optimiser.zero_grad()
        catran_losses(prediction, attention, minibatch, config.loss).total.backward()
        optimiser.step()

    return median_seconds(step, repeats)


def lightning_overhead(genes: int, cells: int) -> dict[str, float]:
    """Measure what Lightning adds to a bare loop, and what logs and checkpoints add to Lightning."""
    dataset = random_dataset(genes, cells)
    config = PAPER
    epochs = 10
    config = replace(config, training=replace(config.training, epochs=epochs))
    steps = epochs * (cells // 2048)
    bare = whole_step(dataset, "factored", cells // 2048 - 1) * steps
    train(dataset, replace(config, training=replace(config.training, epochs=1)))
    start = time.perf_counter()
    train(dataset, config)
    plain = time.perf_counter() - start
    with tempfile.TemporaryDirectory() as folder:
        logged_config = replace(config, output=replace(config.output, run_folder=folder))
        with RunFolder.prepare(logged_config, dataset, 0) as run_folder:
            start = time.perf_counter()
            train(dataset, logged_config, folder=run_folder)
            logged = time.perf_counter() - start
    return {"bare_seconds": bare, "lightning_over_bare": plain / bare, "logged_over_lightning": logged / plain}


def show(results: dict[str, Any]) -> None:
    """Print the tables."""
    console = Console(width=130)
    ceiling = results["ceilings"]
    name, threads, version = results["machine"].values()
    console.print(
        f"{name}, {threads} threads, torch {version}; "
        f"ceilings: {ceiling['flops'] / 1e9:.0f} Gflop/s, {ceiling['bytes'] / 1e9:.1f} GB/s"
    )
    table = Table(title="Forward + backward")
    for column in ("genes", "cells", "literal s", "fast ms", "ratio", "literal GB", "fast GB", "memory ratio",
                   "× arithmetic floor", "× memory floor"):  # fmt: skip
        table.add_column(column, justify="right")
    for row in results["steps"]:
        skipped = row["literal_seconds"] is None
        table.add_row(
            str(row["genes"]), str(row["cells"]),
            "skipped" if skipped else f"{row['literal_seconds']:.2f}", f"{row['fast_seconds'] * 1e3:.1f}",
            "" if skipped else f"{row['ratio']:.0f}", "" if skipped else f"{row['literal_gigabytes']:.2f}",
            f"{row['fast_gigabytes']:.3f}", "" if skipped else f"{row['memory_ratio']:.0f}",
            f"{row['times_arithmetic_floor']:.1f}", f"{row['times_memory_floor']:.1f}",
        )  # fmt: skip
    console.print(table)
    for row in results.get("fits", []):
        console.print(
            f"{row['shape']} ({row['genes']} genes × {row['cells']} cells), 25 epochs: {row['seconds']:.1f} s; "
            f"literal {row['literal_seconds_extrapolated']:.0f} s by one step × {row['steps']} steps; "
            f"ratio {row['ratio']:.0f}; preset evidence {row['evidence_seconds']:.1f} s"
        )
    if overhead := results.get("lightning"):
        console.print(
            f"Lightning over the bare loop: {overhead['lightning_over_bare']:.2f} ×; "
            f"logs and checkpoints over Lightning: {overhead['logged_over_lightning']:.2f} ×"
        )


def draw(results: dict[str, Any], path: Path) -> None:
    """Draw how time grows with genes and cells, for both forms."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(7.4, 4.2))
    batch_sizes = sorted({row["cells"] for row in results["steps"]})
    for colour, cells in zip(("#56B4E9", "#0072B2", "#004466"), batch_sizes, strict=False):
        rows = [row for row in results["steps"] if row["cells"] == cells]
        for form, style in (("fast", "o-"), ("literal", "s--")):
            points = [(row["genes"], row[f"{form}_seconds"]) for row in rows if row[f"{form}_seconds"]]
            axis.plot(*zip(*points, strict=True), style, color=colour, label=f"{form}, {cells:,} cells")
    axis.set(xscale="log", yscale="log", xlabel="genes in the minibatch", ylabel="seconds, forward + backward")
    genes = sorted({row["genes"] for row in results["steps"]})
    axis.set_xticks(genes, [str(n) for n in genes])
    axis.minorticks_off()
    axis.set_title(f"Literal and factored CaTran\n{results['machine']['device']}", fontsize=10)
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    figure.tight_layout()
    figure.savefig(path, dpi=160)


if __name__ == "__main__":
    main()
