#!/usr/bin/env python
"""Model how training by several processes scales: measured work, counted traffic, an assumed network.

Executes the step of one process out of several on this machine (its share of the cells, and everything that is not
shared), counts what it would send, and adds the time that a ring all-reduce takes on a network of given speed. This is
a model, not a measurement of several machines.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, replace
from pathlib import Path
from unittest import mock

import torch
from rich.console import Console
from rich.table import Table
from speed import PAPER, bare_step, median_seconds, random_dataset

from catran_causalbench import PerturbationDataset
from catran_causalbench.utils.hardware import describe_machine

GENES, CELLS = 622, 40_000
PROCESSES = (1, 2, 4, 8, 16)


@dataclass(frozen=True)
class Link:
    """A link between machines."""

    name: str
    bytes_per_second: float
    latency_seconds: float


LINKS = (Link("10 Gbit/s, 50 µs", 1.25e9, 50e-6), Link("100 Gbit/s, 5 µs", 12.5e9, 5e-6))


class Traffic:
    """Counts what torch's collective operations would send."""

    def __init__(self) -> None:
        self.messages = self.num_bytes = 0

    def all_reduce(self, values: torch.Tensor) -> None:
        """Count one message."""
        self.messages += 1
        self.num_bytes += values.numel() * values.element_size()


def main() -> None:
    """Print and save the table of modelled efficiencies."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("scaling.json"))
    arguments = parser.parse_args()
    dataset = random_dataset(GENES, CELLS)
    rows = []
    for cells in (2048, 8192):
        for count in PROCESSES:
            seconds, traffic = step_of_one(dataset, cells, count)
            row = {"cells": cells, "processes": count, "step_seconds": seconds, "megabytes": traffic.num_bytes / 1e6}
            rows.append(row | {"messages": traffic.messages})
            alone = next(row["step_seconds"] for row in rows if row["cells"] == cells)
            for link in LINKS:
                sent = 2 * (count - 1) / count * traffic.num_bytes / link.bytes_per_second
                whole = seconds + (sent + traffic.messages * link.latency_seconds if count > 1 else 0)
                rows[-1][link.name] = alone / whole / count
    show(rows)
    arguments.output.write_text(json.dumps({"machine": describe_machine(), "rows": rows}, indent=2))
    print(f"Wrote {arguments.output}.")


def step_of_one(dataset: PerturbationDataset, cells: int, count: int) -> tuple[float, Traffic]:
    """Time the step of the first of several processes, and count what one step sends."""
    traffic = Traffic()
    with mock.patch.multiple(
        "torch.distributed",
        is_initialized=lambda: True,
        get_world_size=lambda: count,
        get_rank=lambda: 0,
        all_reduce=traffic.all_reduce,
    ):
        step, plan = bare_step(dataset, replace(PAPER, cells_per_minibatch=cells))
        seconds = median_seconds(step, 15)
        traffic.messages = traffic.num_bytes = 0
        step()
    if count > 1:  # Lightning's data-parallel strategy averages the gradients in one more
        traffic.all_reduce(torch.cat([parameter.grad.flatten() for parameter in plan.parameters()]))
    return seconds, traffic


def show(rows: list[dict]) -> None:
    """Print the table."""
    table = Table(title=f"{GENES} genes, 500 of them in a minibatch; MODELLED efficiency")
    for column in (
        "cells in a minibatch",
        "processes",
        "step ms",
        "MB sent",
        "messages",
        *(link.name for link in LINKS),
    ):
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(
            f"{row['cells']:,}",
            str(row["processes"]),
            f"{row['step_seconds'] * 1e3:.0f}",
            f"{row['megabytes']:.1f}",
            str(row["messages"]),
            *(f"{row[link.name]:.0%}" for link in LINKS),
        )
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
