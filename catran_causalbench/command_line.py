"""The command ``catran-causalbench``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from catran_causalbench.errors import InputError

app = typer.Typer(
    help="CaTran for CausalBench: directed gene networks from Perturb-seq data.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Seed = Annotated[int, typer.Option(help="Decides every random draw.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace a directory that this command made before.")]
Folder = Annotated[Path, typer.Argument(help="The benchmark directory to make.", show_default=False)]


@contextmanager
def _input_errors_end_the_command() -> Iterator[None]:
    """Say what is wrong with the input in one sentence, and end with exit code 2."""
    try:
        yield
    except InputError as error:
        typer.echo(f"Error: {error}", err=True)
        raise typer.Exit(2) from None


@app.command()
def simulate(
    folder: Folder,
    shape: Annotated[str, typer.Option(help="tiny, small, rpe1 or k562.")] = "small",
    genes: Annotated[int | None, typer.Option(help="Genes, instead of the shape's.")] = None,
    cells: Annotated[int | None, typer.Option(help="Cells, instead of the shape's.")] = None,
    seed: Seed = 0,
    overwrite: Overwrite = False,
) -> None:
    """Simulate a Perturb-seq experiment whose true network is known, as a directory that causalbench_run reads.

    Example: catran-causalbench simulate world --genes 100 --cells 16000
    """
    from dataclasses import replace

    from catran_causalbench.harness.simulated_data import write_simulated_directory
    from catran_causalbench.simulation import shape as shape_settings

    with _input_errors_end_the_command():
        settings = shape_settings(shape)
        changes = {name: value for name, value in (("genes", genes), ("cells", cells)) if value is not None}
        path = write_simulated_directory(folder, replace(settings, **changes), seed, overwrite)
    typer.echo(f"Wrote {path} (SIMULATED DATA); the true network is in {path / 'true_network.csv'}.")


@app.command()
def datadir(
    folder: Folder,
    source: Annotated[Path, typer.Argument(help="Your data: .h5ad or .npz.", show_default=False)],
    target_column: Annotated[str, typer.Option(help="obs column of an .h5ad that names the perturbed gene.")] = "gene",
    control_label: Annotated[str, typer.Option(help="How your file labels control cells.")] = "non-targeting",
    min_cells: Annotated[int, typer.Option(help="Columns are measured genes with more perturbed cells.")] = 100,
    counts: Annotated[bool, typer.Option("--counts", help="The values are counts: log-normalise them.")] = False,
    known_interactions: Annotated[
        Path | None, typer.Option(help="CSV (source, target) of interactions to be scored against.")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Turn your own data into a directory that causalbench_run reads.

    Example: catran-causalbench datadir mydata screen.h5ad --target-column target_gene --control-label NT --counts
    """
    from catran_causalbench.harness.own_data import write_own_data_directory

    with _input_errors_end_the_command():
        path = write_own_data_directory(
            folder,
            source,
            target_column=target_column,
            control_label=control_label,
            min_cells=min_cells,
            counts=counts,
            known_interactions=known_interactions,
            overwrite=overwrite,
        )
    typer.echo(f"Wrote {path}.")


@app.command()
def plugin(
    rival: Annotated[bool, typer.Option("--rival", help="The file of the rivals instead (see CATRAN_RIVAL).")] = False,
) -> None:
    """Print the path of the file to hand to causalbench_run --inference_function_file_path."""
    here = Path(__file__).parent
    typer.echo(here / "rivals" / "plugin.py" if rival else here / "plugin.py")


@app.command()
def presets() -> None:
    """List the presets that CATRAN_CONFIG can name, with what they are for."""
    from catran_causalbench.config import preset_descriptions

    for name, description in preset_descriptions().items():
        typer.echo(f"{name:14}{description}")


@app.command()
def scores(
    data_directory: Annotated[Path, typer.Argument(help="The benchmark directory.", show_default=False)],
    runs: Annotated[list[Path], typer.Argument(help="Output folders of causalbench_run.", show_default=False)],
    figure: Annotated[Path | None, typer.Option(help="Draw the scores into this file (.png, .pdf, .svg).")] = None,
) -> None:
    """Compare runs of causalbench_run in one table, with precision where the true network is known.

    Example: catran-causalbench scores world runs/catran runs/random --figure scores.png
    """
    from catran_causalbench.harness.score_table import draw_scores, print_scores, read_scores

    with _input_errors_end_the_command():
        headline, table = read_scores(data_directory, runs)
        print_scores(headline, table)
        if figure:
            draw_scores(headline, table, figure)


if __name__ == "__main__":
    sys.exit(app())
