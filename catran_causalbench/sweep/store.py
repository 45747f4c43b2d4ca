"""The directory of a sweep: ``DATA/RUN/`` with CausalBench's files; each run is there as a whole or not at all."""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from catran_causalbench.errors import InputError
from catran_causalbench.sweep.records import FAILURE, RunResult
from catran_causalbench.utils.atomic_io import write_json

_IDENTITY = "sweep.json"
_UNFINISHED = ".unfinished-"


def is_done(folder: Path) -> bool:
    """Return whether a run's directory holds a finished run with a readable result."""
    try:
        RunResult.read(folder)
    except InputError:
        return False
    return True


@contextmanager
def atomic_run_directory(folder: Path) -> Iterator[Path]:
    """Yield a new directory that replaces ``folder`` if the block succeeds, and is removed if it fails."""
    scratch = folder.parent / f"{_UNFINISHED}{folder.name}-{uuid.uuid4().hex[:8]}"
    scratch.mkdir(parents=True)
    try:
        yield scratch
        if folder.exists():  # from an earlier start: a failure, or a run without its result
            shutil.rmtree(folder)
        scratch.rename(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def write_failure(folder: Path, error: BaseException, traceback: str) -> None:
    """Write why a run failed, in the place of its results."""
    values = {"type": type(error).__name__, "message": str(error), "traceback": traceback}
    with atomic_run_directory(folder) as scratch:
        write_json(scratch / FAILURE, values)


def remove_unfinished(output: Path) -> None:
    """Remove what killed runs left behind."""
    for scratch in output.glob(f"*/{_UNFINISHED}*"):
        shutil.rmtree(scratch, ignore_errors=True)


def check_identity(output: Path, identity: Mapping[str, Any]) -> None:
    """Write down what the runs of this directory share, or check that it has not changed.

    Raises
    ------
    InputError
        The directory holds something else, or runs made by another protocol, other code or from other files.
    """
    if not (output / _IDENTITY).exists() and any(output.iterdir()):
        raise InputError.of("output", f"{str(output)!r} with other files in it", "a new directory, or one of a sweep")
    known = read_identity(output)
    for key, value in identity.items():
        if key in known and known[key] != value:
            found = f"{value!r}, where the runs in {str(output)!r} have {known[key]!r}"
            raise InputError.of(key, found, "the same for all runs of a directory, so that they can be compared")
    write_json(output / _IDENTITY, {**known, **identity})


def read_identity(output: Path) -> dict[str, Any]:
    """Read what the runs of a sweep share; empty where nothing was written down.

    Raises
    ------
    InputError
        The file is damaged.
    """
    path = output / _IDENTITY
    try:
        known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    except (OSError, ValueError) as error:
        raise InputError.of(str(path), f"no readable JSON ({error})", "what a sweep wrote") from None
    if not isinstance(known, dict):
        raise InputError.of(str(path), f"{type(known).__name__} in JSON", "what a sweep wrote")
    return known
