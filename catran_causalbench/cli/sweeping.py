"""Commands that run and score many networks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from catran_causalbench.cli.console import AsJson, Quiet, command, print_json, show_progress
from catran_causalbench.errors import InputError

if TYPE_CHECKING:
    from catran_causalbench.sweep.scoring import Edges, Scores

_FILTER = "Strong perturbations only, as in the challenge."


@command
def sweep(
    output: Annotated[Path, typer.Argument(help="Directory for the runs.", show_default=False)],
    data: Annotated[list[Path] | None, typer.Argument(help="Benchmark directories.", show_default=False)] = None,
    plan: Annotated[Path | None, typer.Option(help="YAML file; options replace what it says.")] = None,
    methods: Annotated[
        str | None, typer.Option(help="catran, catran-PRESET, a YAML file with settings, a baseline, or oracle.")
    ] = None,
    regimes: Annotated[str | None, typer.Option(help="observational, partial_interventional, interventional.")] = None,
    fractions: Annotated[str | None, typer.Option(help="Shares of perturbations in the partial regime.")] = None,
    seeds: Annotated[str | None, typer.Option(help="Seeds of the model and of the partial draw.")] = None,
    edges: Annotated[int | None, typer.Option(help="Edges of every network.", show_default="1000")] = None,
    max_path_length: Annotated[int | None, typer.Option(help="As in causalbench_run.", show_default="1")] = None,
    omission_estimation_size: Annotated[
        int | None, typer.Option(help="As in causalbench_run.", show_default="500")
    ] = None,
    dataset_name: Annotated[str | None, typer.Option(help="Or weissmann_k562.", show_default="weissmann_rpe1")] = None,
    do_filter: Annotated[bool | None, typer.Option("--do-filter", help=_FILTER)] = None,
    dcdi_training_share: Annotated[
        float | None, typer.Option(help="Share of their full training for DCDI and its relatives.", show_default="1")
    ] = None,
    stability: Annotated[
        bool | None, typer.Option("--stability", help="Compare the edges of two halves of the cells: trains thrice.")
    ] = None,
    split_by_seed: Annotated[
        bool | None, typer.Option("--split-by-seed", help="Let the seed also decide which cells are held out.")
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Processes.", show_default="one per core", min=1)] = None,
    scheduler: Annotated[str | None, typer.Option(help="A Dask scheduler to use instead; one run a worker.")] = None,
    quiet: Quiet = False,
) -> None:
    """Run methods × data × regimes × fractions × seeds; each run is stored as causalbench_run stores it.

    Separate several values by commas. The default regime is partial_interventional with the challenge's fractions
    0.25,0.5,0.75,1 and seed 0. Run the same command again to resume an interrupted sweep and to repeat failed runs, or
    a larger one to add runs. The exit code is 1 if a run failed.

    Examples: catran-causalbench sweep results data1 data2 --methods catran,mean_difference,random --seeds 0,1

    catran-causalbench sweep results --plan plan.yaml --scheduler tcp://10.0.0.1:8786
    """
    from catran_causalbench.cli.sweep_progress import SweepProgress
    from catran_causalbench.sweep.plan import SweepPlan
    from catran_causalbench.sweep.runner import pending, run_sweep

    given: dict[str, Any] = {
        "data": data or None,
        "methods": _split(methods),
        "regimes": _split(regimes),
        "fractions": _numbers("fractions", fractions, float),
        "seeds": _numbers("seeds", seeds, int),
        "edges": edges,
        "max_path_length": max_path_length,
        "omission_estimation_size": omission_estimation_size,
        "dataset_name": dataset_name,
        "do_filter": do_filter,
        "dcdi_training_share": dcdi_training_share,
        "stability": stability,
        "split_by_seed": split_by_seed,
    }
    changes = {key: value for key, value in given.items() if value is not None}
    wanted = SweepPlan.from_yaml(plan, changes) if plan else SweepPlan.from_mapping(changes)
    total, left = len(wanted.runs()), len(pending(wanted, output))
    with SweepProgress(output, total, left, show_progress(quiet), quiet) as progress:
        run_sweep(wanted, output, progress.show, workers, scheduler)
    if progress.failed:
        raise typer.Exit(1)


@command
def evaluate(
    data: Annotated[Path, typer.Argument(help="The benchmark directory.", show_default=False)],
    network: Annotated[
        Path, typer.Argument(help="CSV with columns source and target, best edges first.", show_default=False)
    ],
    max_path_length: Annotated[int, typer.Option(help="As in causalbench_run.")] = 1,
    omission_estimation_size: Annotated[int, typer.Option(help="As in causalbench_run.")] = 500,
    dataset_name: Annotated[str, typer.Option(help="Or weissmann_k562.")] = "weissmann_rpe1",
    do_filter: Annotated[bool, typer.Option("--do-filter", help=_FILTER)] = False,
    as_json: AsJson = False,
) -> None:
    """Score a network, from wherever it comes, on the held-out cells of a benchmark directory.

    An output_network.csv of causalbench_run will do. Under the key "metrics" of --json is what the harness would write.

    Example: catran-causalbench evaluate world edges.csv
    """
    from dataclasses import asdict

    from catran_causalbench.causalbench.benchmark_dataset import BenchmarkDataset
    from catran_causalbench.causalbench.dataset_spec import DatasetSpec
    from catran_causalbench.sweep.plan import EvaluationProtocol
    from catran_causalbench.sweep.scoring import score_edges

    edges = _read_edges(network)
    rules = EvaluationProtocol(len(edges), max_path_length, omission_estimation_size, dataset_name, do_filter)
    benchmark = BenchmarkDataset.read(data, DatasetSpec(dataset_name, do_filter))
    scores = score_edges(benchmark, edges, rules.max_path_length, rules.omission_estimation_size)
    if as_json:
        print_json({"title": benchmark.title, "simulated": benchmark.simulated, **asdict(scores)})
    else:
        _print_scores(benchmark.title, scores)


def _split(text: str | None) -> list[str] | None:
    return None if text is None else [part.strip() for part in text.split(",")]


def _numbers(name: str, text: str | None, kind: type[int] | type[float]) -> list[Any] | None:
    try:
        return None if text is None else [kind(part) for part in text.split(",")]
    except ValueError:
        raise InputError.of(name, repr(text), "numbers with commas between them") from None


def _read_edges(path: Path) -> Edges:
    """Read columns source and target, or the harness's own, 0 and 1."""
    import pandas as pd

    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise InputError.of("network", f"no readable table in {path} ({error})", "a CSV file") from None
    for columns in (["source", "target"], ["0", "1"]):
        if set(columns) <= set(table.columns):
            return list(table[columns].itertuples(index=False, name=None))
    raise InputError.of("network", f"columns {', '.join(table.columns)} in {path}", "columns source and target")


def _print_scores(headline: str, scores: Scores) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    figures = {
        "edges": f"{scores.num_edges:,}",
        "mean Wasserstein ↑": f"{scores.mean_wasserstein:.4f}",
        "… in excess of its null ↑": f"{scores.excess_wasserstein:.4f}",
        f"false omission rate ↓ ({scores.omissions:,} pairs drawn)": f"{scores.false_omission_rate:.4f}",
    }
    for name, values in scores.references.items():
        figures[f"precision / recall, {name} ↑"] = f"{values['precision']:.4f} / {values['recall']:.4f}"
    if truth := scores.truth:
        figures["true effect captured, share of the oracle's ↑"] = f"{truth.effect_recovery:.4f}"
        figures["precision / recall, true edges ↑"] = f"{truth.precision.value[-1]:.4f} / {truth.recall.value[-1]:.4f}"
        figures["precision, true ancestors ↑"] = f"{truth.ancestor_precision:.4f}"
        figures["average precision, true edges ↑"] = f"{truth.average_precision:.4f}"
        figures["orientation of true edges ↑"] = f"{truth.orientation:.4f}"
    printed = Table(title=escape(headline), title_justify="left", show_header=False)
    printed.add_column()
    printed.add_column(justify="right")
    for name, value in figures.items():
        printed.add_row(name, value)
    Console(width=None if Console().is_terminal else 120).print(printed)
