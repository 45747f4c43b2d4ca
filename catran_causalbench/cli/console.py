"""What all commands share: options, exit codes, and what is printed where.

Exit codes: 0 done, 1 the work failed, 2 the input cannot be used, 130 interrupted, 143 terminated. Results go to
standard output, all else to standard error; progress bars show on a terminal only.
"""

from __future__ import annotations

import atexit
import functools
import gc
import json
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any, TypeVar

import typer

from catran_causalbench.errors import DownloadError, InputError, TrainingError

Command = TypeVar("Command", bound=Callable[..., Any])

# How to read a screen, for every command that reads one.
PerturbationKey = Annotated[str, typer.Option(help="Column of obs with each cell's target; an .npz needs none.")]
Control = Annotated[str, typer.Option(help="Label of the control cells.")]
Layer = Annotated[str | None, typer.Option(help="Layer with the expression, instead of X.")]
Genes = Annotated[str, typer.Option(help="'perturbed', 'all', or names separated by commas.")]
MinCells = Annotated[int, typer.Option(help="'perturbed' genes are those with more perturbed cells than this.")]
Counts = Annotated[bool, typer.Option("--counts", help="The values are raw counts: log-normalise them.")]
Seed = Annotated[int, typer.Option(help="Decides every random draw.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what this command made before.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON, for scripts.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but results and errors.")]


def command(function: Command) -> Command:
    """End a command with one sentence and the right exit code, never with a traceback, when the user can mend it."""

    @functools.wraps(function)
    def guarded(*arguments: Any, **options: Any) -> Any:
        atexit.register(gc.freeze)  # else Python looks through all libraries for cycles as it ends, for a second
        try:
            with _terminable():
                return function(*arguments, **options)
        except InputError as error:
            _end(f"Error: {error}", 2)
        except (TrainingError, DownloadError) as error:
            _end(f"Error: {error}", 1)
        except KeyboardInterrupt:
            _end("Interrupted.", 130)

    return guarded  # type: ignore[return-value]


@contextmanager
def _terminable() -> Iterator[None]:
    """Let the signal by which schedulers and containers end a process unwind it, so that it leaves nothing behind."""
    if threading.current_thread() is not threading.main_thread():  # where signals cannot be set
        yield
        return
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _terminate(number: int, frame: Any) -> None:
    typer.echo("Terminated.", err=True)
    raise SystemExit(128 + number)


def chosen_genes(genes: str) -> str | list[str]:
    """Return what the option ``--genes`` means to the reader of screens."""
    return genes if genes in ("perturbed", "all") else [name.strip() for name in genes.split(",")]


def print_json(result: Any) -> None:
    """Print a result for scripts: one JSON document, NaN as null."""
    typer.echo(json.dumps(_without_nan(result), indent=2, ensure_ascii=False))


def show_progress(quiet: bool) -> bool:
    """Whether to draw progress bars: not when told to be quiet, and only on a terminal."""
    return not quiet and sys.stderr.isatty()


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _without_nan(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(entry) for entry in value]
    return None if isinstance(value, float) and value != value else value


def _end(message: str, code: int) -> None:
    typer.echo(message, err=True)
    raise typer.Exit(code) from None
