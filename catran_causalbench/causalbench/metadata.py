"""The description of a benchmark directory that this package made, in description.json."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from catran_causalbench.causalbench.known_truth import data_name, is_known_truth
from catran_causalbench.errors import InputError

DESCRIPTION = "description.json"
README = "README.txt"
MADE_BY = "catran_causalbench"


def find_metadata(directory: str | os.PathLike[str]) -> dict[str, Any]:
    """Read the description of a benchmark directory (``title``, ``simulated`` and more), empty if there is none.

    Descriptions that this package did not write do not count. A file with known truth is simulated. Raise
    InputError if the description is damaged, as the cells might be simulated.
    """
    if is_known_truth(Path(directory)):
        return {"title": f"SIMULATED DATA with known truth from {Path(directory).name}", "simulated": True}
    path = Path(directory) / DESCRIPTION
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise InputError.of(str(path), f"a file that cannot be read ({error})", "JSON") from None
    return description if isinstance(description, dict) and description.get("made_by") == MADE_BY else {}


def describe_data(data_directory: Path) -> dict[str, Any]:
    """Return the ``name`` of a benchmark directory, the ``title`` of its data, and whether they are ``simulated``.

    Raise InputError if there is no such directory.
    """
    if not is_known_truth(data_directory) and not data_directory.is_dir():
        raise InputError.of("data_directory", f"no directory {str(data_directory)!r}", "a benchmark directory")
    metadata = find_metadata(data_directory)
    return {
        "name": data_name(data_directory.resolve()),
        "title": str(metadata.get("title", f"Data in {data_directory}")),
        "simulated": bool(metadata.get("simulated", False)),
    }
