"""Commands around ``causalbench_run`` and its results."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from catran_causalbench.cli.console import AsJson, command, print_json


@command
def plugin() -> None:
    """Print the path of the file to hand to causalbench_run --inference_function_file_path.

    The environment variable CATRAN_METHOD picks the method, CATRAN_CONFIG its settings.

    Example: cp "$(catran-causalbench plugin)" main.py
    """
    typer.echo(Path(__file__).parent.parent / "plugin.py")


@command
def presets(as_json: AsJson = False) -> None:
    """List the presets that CATRAN_CONFIG can name, with what they are for.

    Example: catran-causalbench presets
    """
    from catran_causalbench.config import preset_descriptions

    descriptions = preset_descriptions()
    if as_json:
        print_json(descriptions)
        return
    width = max(map(len, descriptions)) + 2
    for name, description in descriptions.items():
        typer.echo(f"{name:{width}}{description}")


@command
def scores(
    data_directory: Annotated[Path, typer.Argument(help="The benchmark directory.", show_default=False)],
    runs: Annotated[list[Path], typer.Argument(help="Output folders of causalbench_run.", show_default=False)],
    figure: Annotated[Path | None, typer.Option(help="Draw the scores into this file (.png, .pdf, .svg).")] = None,
    as_json: AsJson = False,
) -> None:
    """Compare runs of causalbench_run in one table, with precision where the true network is known.

    Example: catran-causalbench scores world runs/catran runs/random --figure scores.png
    """
    from catran_causalbench.report.run_table import check_figure, draw_scores, print_scores, read_scores

    if figure:
        check_figure(figure)
    headline, table = read_scores(data_directory, runs)
    if as_json:
        print_json({"data": headline, "runs": table.to_dict(orient="index")})
    else:
        print_scores(headline, table)
    if figure:
        draw_scores(headline, table, figure)
