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
    """Write a file under a temporary name in its directory, then rename it; an existing file is replaced.

    ``write`` gets the temporary path, which has the same suffix.

    Raises
    ------
    InputError
        The directory does not exist or cannot be written to.
    """
    path = Path(path)
    try:
        move_into_place(_temporary(path), path, write)
    except OSError as error:
        raise _unwritable(path, error) from None
    return path


def _temporary(path: Path) -> Path:
    return path.with_name(f".{os.getpid()}.part.{path.name}")


def remove_temporary_files(directory: Path, names: Collection[str]) -> None:
    """Remove what killed processes left of files with these names; the directory has to be locked."""
    for path in directory.glob(".*.part.*"):
        number, _, name = path.name[1:].partition(".part.")
        if number.isdecimal() and name in names:
            path.unlink(missing_ok=True)


def move_into_place(temporary: Path, path: Path, write: Callable[[Path], Any]) -> None:
    """Write a file under another name in its directory, flush it to the disk and rename it.

    Raises
    ------
    OSError
        The directory does not exist or cannot be written to. The temporary file is deleted after any error.
    """
    try:
        write(temporary)
        with temporary.open("r+b") as file:
            os.fsync(file.fileno())  # or a power cut could leave an empty file under the new name
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
    """Give a file a second name; copy it, with its time of change, where the file system has no hard links."""
    try:
        target.hardlink_to(source.resolve())  # and not to a symbolic link, which may be relative
    except OSError:
        shutil.copy2(source, target)


def link_atomically(source: Path, target: Path) -> None:
    """Link or copy a file under a temporary name, then rename it; an existing file is replaced.

    Raises
    ------
    InputError
        The directory does not exist or cannot be written to.
    """
    temporary = _temporary(target)
    try:
        link_or_copy(source, temporary)
        os.replace(temporary, target)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise _unwritable(target, error) from None
        raise


def check_writable(path: str | os.PathLike[str]) -> None:
    """Make sure that a file or directory can be created at a path, before hours are spent on its content.

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
    path, field
        The directory to make, and the name of the option that the user gave it by.
    ours, overwrite
        Names of the files that the command writes, and whether these may be replaced.

    Raises
    ------
    InputError
        The path is a file, or the directory holds anything that may not be replaced.
    """
    if path.exists() and not path.is_dir():
        raise InputError.of(field, f"the file {str(path)!r}", "a new or empty directory")
    names = sorted(entry.name for entry in path.iterdir()) if path.exists() else []
    foreign = [name for name in names if name not in ours]
    if foreign:
        found = f"{str(path)!r}, which holds other things such as {foreign[0]!r}"
        raise InputError.of(field, found, "a new or empty directory, or one that this command made")
    if names and not overwrite:
        raise InputError.of(field, f"an earlier result in {str(path)!r}", "a new directory, or --overwrite")


@contextmanager
def atomic_directory(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a directory to write into, which is renamed to the path when the block ends without an error.

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
            except BaseException:  # between the two, Ctrl-C would have the old one deleted with the scratch directory
                if replaced.exists() and not path.exists():
                    replaced.rename(path)
                raise
    except OSError as error:
        raise _unwritable(path, error) from None


def _unwritable(path: Path, error: OSError) -> InputError:
    found = f"{str(path)!r}, which cannot be written ({error.strerror or error})"
    return InputError.of("path", found, "a writable place with enough space")
