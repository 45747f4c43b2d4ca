"""Files that appear whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from catran_causalbench.errors import InputError


def write_whole(path: str | os.PathLike[str], write: Callable[[Path], Any]) -> Path:
    """Have a file written under a temporary name beside its place, then rename it.

    Parameters
    ----------
    path
        Where the file goes; what is there is replaced.
    write
        Writes the file at the path it is given, which has the same ending.

    Raises
    ------
    InputError
        The folder does not exist or cannot be written to.
    """
    path = Path(path)
    temporary = path.with_name(f".{os.getpid()}.part.{path.name}")
    try:
        write(temporary)
        os.replace(temporary, path)
    except OSError as error:
        raise InputError.of("path", f"{path}, which cannot be written ({error.strerror})", "a writable place") from None
    finally:
        temporary.unlink(missing_ok=True)
    return path
