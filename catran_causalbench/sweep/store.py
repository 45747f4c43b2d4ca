"""The folder of a sweep: ``DATA/RUN/`` with the harness's files, each run there whole or not at all."""

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
    """Whether a run's folder holds a finished run, whose record can be read."""
    try:
        RunResult.read(folder)
    except InputError:
        return False
    return True


@contextmanager
def atomic_run_directory(folder: Path) -> Iterator[Path]:
    """Give a new folder beside the one to write; it takes its place if the block ends well, and vanishes if not."""
    scratch = folder.parent / f"{_UNFINISHED}{folder.name}-{uuid.uuid4().hex[:8]}"
    scratch.mkdir(parents=True)
    try:
        yield scratch
        if folder.exists():  # what an earlier start left: a failure, or a run without its record
            shutil.rmtree(folder)
        scratch.rename(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def write_failure(folder: Path, error: BaseException, traceback: str) -> None:
    """Record why a run failed, in the place of its results."""
    values = {"type": type(error).__name__, "message": str(error), "traceback": traceback}
    with atomic_run_directory(folder) as scratch:
        (scratch / FAILURE).write_text(json.dumps(values, indent=1, ensure_ascii=False), encoding="utf-8")


def remove_unfinished(output: Path) -> None:
    """Remove what runs left that were killed."""
    for scratch in output.glob(f"*/{_UNFINISHED}*"):
        shutil.rmtree(scratch, ignore_errors=True)


def check_identity(output: Path, identity: Mapping[str, Any]) -> None:
    """Note what the runs of this folder have in common, or make sure that they go on having it.

    Raises
    ------
    InputError
        The folder holds something else, or runs made by other rules or from other files.
    """
    if not (output / _IDENTITY).exists() and any(output.iterdir()):
        raise InputError.of("output", f"{str(output)!r} with other files in it", "a new folder, or one of a sweep")
    known = read_identity(output)
    for key, value in identity.items():
        if key in known and known[key] != value:
            found = f"{value!r}, where the runs in {str(output)!r} have {known[key]!r}"
            raise InputError.of(key, found, "the same for all runs of a folder, so that they compare")
    write_json(output / _IDENTITY, {**known, **identity})


def read_identity(output: Path) -> dict[str, Any]:
    """Read what the runs of a sweep's folder have in common; empty where nothing was noted.

    Raises
    ------
    InputError
        The file is broken.
    """
    path = output / _IDENTITY
    try:
        known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    except (OSError, ValueError) as error:
        raise InputError.of(str(path), f"no readable JSON ({error})", "what a sweep wrote") from None
    if not isinstance(known, dict):
        raise InputError.of(str(path), f"{type(known).__name__} in JSON", "what a sweep wrote")
    return known
