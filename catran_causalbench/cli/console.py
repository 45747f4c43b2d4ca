"""Shared by all commands: options, exit codes and output.

Exit codes: 0 success, 1 failure, 2 input that cannot be used, 130 interrupted, 143 terminated. Results go to standard
output, everything else to standard error; progress bars appear on a terminal only.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import io
import json
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from catran_causalbench.cli.streams import takes_unicode
from catran_causalbench.cli.wording import in_option_words
from catran_causalbench.errors import DownloadError, InputError, TrainingError

if TYPE_CHECKING:
    from rich.console import Console

Command = TypeVar("Command", bound=Callable[..., Any])

# Options of every command that reads a screen.
PerturbationKey = Annotated[str, typer.Option(help="Column of obs with each cell's target; an .npz needs none.")]
Control = Annotated[
    list[str] | None,
    typer.Option(help="Label of the control cells; repeat it for several.", show_default="non-targeting"),
]
LabelPattern = Annotated[
    str | None,
    typer.Option(
        help="How to read names of guides: guide-number, sg-prefix, promoter, or a regex with group 'target'."
    ),
]
CombinationSeparator = Annotated[str, typer.Option(help="What stands between the genes of a label with several.")]
GeneNames = Annotated[str | None, typer.Option(help="Column of var with the names of the genes.")]
Layer = Annotated[str | None, typer.Option(help="Layer with the expression, instead of X; raw: .raw.")]
Genes = Annotated[str, typer.Option(help="'perturbed', 'all', or names separated by commas.")]
MinCells = Annotated[int, typer.Option(help="'perturbed' genes are those with more perturbed cells than this.")]
Counts = Annotated[
    bool, typer.Option("--counts", help="The values are counts, perhaps corrected, CPM or TPM: log them.")
]
# A command takes what it reads as arguments, and what it writes as this option.
Output = Annotated[Path, typer.Option("--output", "-o", help="The directory to make.", show_default=False)]
Seed = Annotated[int, typer.Option(help="Seed of all random numbers.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what this command made before.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON, for scripts.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but results and errors.")]


def command(function: Command) -> Command:
    """Report warnings, and errors that the user can fix, in one line each, without a place in the code.

    An error also has an exit code.
    """

    @functools.wraps(function)
    def guarded(*arguments: Any, **options: Any) -> Any:
        atexit.register(gc.freeze)  # else Python spends a second at exit on collecting garbage
        try:
            with _terminable(), _plain_warnings(function):
                return function(*arguments, **options)
        except InputError as error:
            _end(f"Error: {in_option_words(str(error), function)}", 2)
        except (TrainingError, DownloadError) as error:
            _end(f"Error: {in_option_words(str(error), function)}", 1)
        except BrokenPipeError:  # as in | head: typer ends quietly
            raise
        except OSError as error:  # a full disk, a name that is too long, a directory that was deleted
            _end(f"Error: {error}", 1)
        except KeyboardInterrupt:
            _end("Interrupted.", 130)

    return guarded  # type: ignore[return-value]


@contextmanager
def _terminable() -> Iterator[None]:
    """Turn SIGTERM, with which schedulers and containers end a process, into an exception, so that cleanup runs."""
    if threading.current_thread() is not threading.main_thread():  # signals can be handled in the main thread only
        yield
        return
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _plain_warnings(function: Callable[..., Any]) -> Iterator[None]:
    """Print warnings as one line on the standard error, without the place in the code."""
    with warnings.catch_warnings():

        def show_plainly(message: Warning | str, *place: Any, **options: Any) -> None:
            text = " ".join(str(message).split())
            typer.echo(f"Warning: {in_option_words(text, function)}", err=True)

        warnings.showwarning = show_plainly
        yield


def _terminate(number: int, frame: Any) -> None:
    typer.echo("Terminated.", err=True)
    raise SystemExit(128 + number)


def chosen_genes(genes: str) -> str | list[str]:
    """Return the option ``--genes`` as the reader of screens takes it."""
    return genes if genes in ("perturbed", "all") else [name.strip() for name in genes.split(",")]


def print_json(result: Any) -> None:
    """Print a result as one JSON document, with null for NaN."""
    typer.echo(json.dumps(_without_nan(result), indent=2, ensure_ascii=not takes_unicode()))


def hushed(quiet: bool) -> AbstractContextManager[Any]:
    """Return a context in which nothing goes to standard error, if told to be quiet."""
    return contextlib.redirect_stderr(io.StringIO()) if quiet else contextlib.nullcontext()


def show_progress(quiet: bool) -> bool:
    """Return whether to draw progress bars: on a terminal, unless told to be quiet."""
    return not quiet and sys.stderr.isatty()


def table_console() -> Console:
    """Return the standard output for tables: 120 columns wide where it is no terminal, and without added colours."""
    from rich.console import Console

    terminal = Console()
    return Console(width=None if terminal.is_terminal and terminal.width else 120, highlight=False)  # COLUMNS may be 0


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table with names in its first column and numbers in the others."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=escape(title), title_justify="left")
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left", no_wrap=not number)
    for name, *numbers in rows:
        table.add_row(escape(name), *numbers)
    table_console().print(table)


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _without_nan(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(entry) for entry in value]
    return None if isinstance(value, float) and value != value else value


def _end(message: str, code: int) -> None:
    typer.echo(message, err=True)
    raise typer.Exit(code) from None
