"""Progress of a single task through its stages: a bar on a terminal, a line for each stage elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from catran_causalbench.cli.console import show_progress
from catran_causalbench.utils.distributed import is_main_process
from catran_causalbench.utils.progress import listening


@contextmanager
def stages_shown(quiet: bool) -> Iterator[None]:
    """Show on standard error which stage a task has reached, unless told to be quiet."""
    if quiet or not is_main_process():
        yield
    elif show_progress(quiet):
        with _bar():
            yield
    else:
        with _lines():
            yield


@contextmanager
def _bar() -> Iterator[None]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("Starting", total=None)

        def show(stage: str, done: int, total: int) -> None:
            bar.update(task, description=stage, completed=done, total=total or None)

        with listening(show):
            yield


@contextmanager
def _lines() -> Iterator[None]:
    before = ""

    def show(stage: str, done: int, total: int) -> None:
        nonlocal before
        if stage != before:
            typer.echo(f"{stage} …", err=True)
        before = stage

    with listening(show):
        yield
