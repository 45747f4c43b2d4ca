"""Compare the speed of our evaluator with CausalBench's, in one process, on SIMULATED held-out cells of RPE1's size.

Needs causalbench 1.1.2. Prints a table; takes about ten seconds.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

from causalscbench.evaluation.statistical_evaluation import Evaluator

from catran_causalbench.evaluation.causalbench_metrics import evaluate_network
from catran_causalbench.evaluation.held_out import HeldOutEvaluator
from catran_causalbench.simulation.causal_model import SimulationConfig, sample_causal_model
from catran_causalbench.simulation.expression import simulate_cells

# A fifth of the 92,000 cells of RPE1: about 2,300 controls, and 40 cells for each of 383 perturbed genes.
SETTINGS = SimulationConfig(genes=383, cells=18_400, control_share=0.125, min_cells=20)
EDGES = 1_000
OMISSIONS = 500
REPEATS = 3


def main() -> None:
    """Simulate cells, time both evaluators, check that they agree, and print the times."""
    model = sample_causal_model(SETTINGS, seed=0)
    simulated = simulate_cells(model)
    genes = list(model.gene_ids)
    cells = simulated.expression, simulated.labels.tolist(), genes
    network = random.Random(0).sample([(a, b) for a in genes for b in genes if a != b], EDGES)
    theirs, ours = Evaluator(*cells), HeldOutEvaluator(*cells)

    rows: list[tuple[str, Callable[[], Any], Callable[[], Any]]] = [
        (f"{EDGES:,} edges", lambda: theirs.evaluate_network(network, 1), lambda: evaluate_network(ours, network, 1)),
        (
            f"{EDGES:,} edges, evaluator built anew",
            lambda: Evaluator(*cells).evaluate_network(network, 1),
            lambda: evaluate_network(HeldOutEvaluator(*cells), network, 1),
        ),
        (
            f"{EDGES:,} edges and {OMISSIONS} omitted pairs",
            lambda: theirs.evaluate_network(network, 1, True, OMISSIONS),
            lambda: evaluate_network(ours, network, 1, OMISSIONS),
        ),
    ]
    print(f"SIMULATED cells: {SETTINGS.cells:,} of {SETTINGS.genes} genes, {SETTINGS.control_share:.1%} controls")
    print(f"best of {REPEATS} runs, in milliseconds\n")
    print(f"{'':38} {'causalbench':>12} {'this package':>13} {'ratio':>6}")
    for name, run_theirs, run_ours in rows:
        times = []
        for _ in range(REPEATS):  # alternately, so that other load on the machine affects both
            their_time, their_metrics = timed(run_theirs)
            our_time, our_metrics = timed(run_ours)
            times.append((their_time, our_time))
        if not agree(their_metrics, our_metrics):
            raise SystemExit(f"{name}: the evaluators disagree: {their_metrics} and {our_metrics}")
        their_best, our_best = (min(column) for column in zip(*times, strict=True))
        print(f"{name:38} {1e3 * their_best:12.0f} {1e3 * our_best:13.1f} {their_best / our_best:6.0f}")


def timed(run: Callable[[], Any]) -> tuple[float, Any]:
    """Return the seconds that a call takes, and its result."""
    start = time.perf_counter()
    result = run()
    return time.perf_counter() - start, result


def agree(one: Any, other: Any) -> bool:
    """Return whether nested metrics agree; means may differ by the order in which they are summed."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(agree(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(agree(a, b) for a, b in zip(one, other, strict=True))
    return abs(one - other) <= 1e-9 * abs(one)


if __name__ == "__main__":
    main()
