"""Files and directories that are written atomically: whole, or not at all."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from catran_causalbench.errors import InputError


def write_atomically(path: str | os.PathLike[str], write: Callable[[Path], Any]) -> Path:
    """Write a file under a temporary name in its directory, then rename it.

    Parameters
    ----------
    path
        Where the file goes; what is there is replaced.
    write
        Writes the file at the path that it is given, which has the same suffix.

    Raises
    ------
    InputError
        The directory does not exist or cannot be written to.
    """
    path = Path(path)
    try:
        move_into_place(path.with_name(f".{os.getpid()}.part.{path.name}"), path, write)
    except OSError as error:
        raise _unwritable(path, error) from None
    return path


def move_into_place(temporary: Path, path: Path, write: Callable[[Path], Any]) -> None:
    """Write a file under another name in its directory, flush it to the disk and rename it.

    Raises
    ------
    OSError
        The directory does not exist or cannot be written to; nothing is left under the other name.
    """
    try:
        write(temporary)
        with temporary.open("r+b") as file:
            os.fsync(file.fileno())  # else a power cut could leave the new name with nothing behind it
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def write_json(path: str | os.PathLike[str], value: Any) -> Path:
    """Write plain values as JSON; see :func:`write_atomically`."""
    text = json.dumps(value, indent=1, ensure_ascii=False) + "\n"
    return write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def link_or_copy(source: Path, target: Path) -> None:
    """Give a file a second name; copy it where the file system has no hard links."""
    try:
        target.hardlink_to(source)
    except OSError:
        shutil.copyfile(source, target)


def check_writable(path: str | os.PathLike[str]) -> None:
    """Make sure that a file or directory can be made at a path, before hours go into its content.

    Raises
    ------
    InputError
        Its directory does not exist or cannot be written to.
    """
    path = Path(path).absolute()
    try:
        tempfile.TemporaryFile(dir=path.parent).close()
    except OSError as error:
        raise _unwritable(path, error) from None


def check_replaceable(path: Path, field: str, ours: Collection[str], overwrite: bool) -> None:
    """Make sure that a new directory replaces nothing but an earlier result of the same command.

    Parameters
    ----------
    path
        The directory to make.
    field
        What the user called it.
    ours
        Names of what the command puts there: all that may be replaced.
    overwrite
        Whether an earlier result may be replaced.

    Raises
    ------
    InputError
        The path is a file, or the directory holds something that must stay.
    """
    if not path.exists():
        return
    if not path.is_dir():
        raise InputError.of(field, f"the file {str(path)!r}", "a new or empty folder")
    there = sorted(entry.name for entry in path.iterdir())
    foreign = [name for name in there if name not in ours]
    if foreign:
        found = f"{str(path)!r}, which holds other things such as {foreign[0]!r}"
        raise InputError.of(field, found, "a new or empty folder, or one that this command made")
    if there and not overwrite:
        raise InputError.of(field, f"an earlier result in {str(path)!r}", "a new folder, or --overwrite")


@contextmanager
def atomic_directory(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a directory to write into, which takes the path's place when the block ends well.

    Raises
    ------
    InputError
        The parent directory does not exist or its disk is full.
    """
    path = Path(path).absolute()
    try:
        with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as scratch:
            made = Path(scratch) / "made"
            made.mkdir()
            yield made
            replaced = Path(scratch) / "replaced"
            try:
                if path.exists():
                    path.rename(replaced)
                made.rename(path)
            except BaseException:  # between the two, Ctrl-C would have the old folder deleted with the scratch
                if replaced.exists() and not path.exists():
                    replaced.rename(path)
                raise
    except OSError as error:
        raise _unwritable(path, error) from None


def _unwritable(path: Path, error: OSError) -> InputError:
    found = f"{str(path)!r}, which cannot be written ({error.strerror or error})"
    return InputError.of("path", found, "a writable place with enough room")
