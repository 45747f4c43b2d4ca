"""Warnings and errors in the words of the command line: one line, with options in place of Python's arguments."""

from __future__ import annotations

import re
import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

import typer


def with_options(text: str, options: Collection[str]) -> str:
    """Write Python's arguments as options: ``counts=True`` as ``--counts``, ``genes="all"`` as ``--genes all``."""

    def as_option(match: re.Match[str]) -> str:
        name, value = f"--{match[1].replace('_', '-')}", match[2].strip("'\"")
        return {"True": name, "False": f"no {name}"}.get(value, f"{name} {value}")

    return re.sub(rf"\b({'|'.join(map(re.escape, options))})=(\w+|'[^']*'|\"[^\"]*\")", as_option, text)


@contextmanager
def one_line_warnings(options: Collection[str]) -> Iterator[None]:
    """Print warnings as lines on the standard error, without the place in the code that Python would show."""

    def show(message: Warning | str, *place: Any) -> None:
        text = " ".join(str(message).split())
        typer.echo(f"Warning: {with_options(text, options)}", err=True)

    before = warnings.showwarning
    warnings.showwarning = show  # type: ignore[assignment]
    try:
        yield
    finally:
        warnings.showwarning = before
