"""What a benchmark directory says about itself, in description.json."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from catran_causalbench.errors import InputError

DESCRIPTION = "description.json"
MADE_BY = "catran_causalbench"


def find_metadata(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """Read the description of a benchmark directory: ``title``, ``simulated`` and more.

    Returns
    -------
    dict
        Empty if this package did not make the directory.

    Raises
    ------
    InputError
        The file is damaged, so that nobody can tell whether the cells are simulated.
    """
    path = Path(folder) / DESCRIPTION
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise InputError.of(str(path), f"what cannot be read ({error})", "JSON") from None
    return description if isinstance(description, dict) and description.get("made_by") == MADE_BY else {}
