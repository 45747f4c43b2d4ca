"""Messages in the words of the command line: ``--min-cells 50`` where Python says ``min_cells=50``."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Callable
from typing import Any

from typer.models import OptionInfo
from typer.utils import get_params_from_function

_VALUE = r"True|False|\d+|[A-Z]+|'[^']*'|\"[^\"]*\"|\[[^\]]*\]"


def in_option_words(message: str, command: Callable[..., Any]) -> str:
    """Return a message with the field that it begins with, and arguments such as ``x='a'``, as options of a command."""
    option_of = {
        name: (parameter.default.param_decls or (f"--{name.replace('_', '-')}",))[0]
        for name, parameter in get_params_from_function(command).items()
        if isinstance(parameter.default, OptionInfo)
    }

    if "output" in option_of:
        option_of.setdefault("directory", option_of["output"])  # as Python's functions call it

    def as_option(argument: re.Match[str]) -> str:
        name, value = argument.groups()
        return _with_value(option_of[name], value) if name in option_of else argument[0]

    field, colon, rest = message.partition(": found ")
    worded = option_of[field] + colon + rest if colon and field in option_of else message
    return re.sub(rf"\b([a-z_]+)=({_VALUE})", as_option, worded)


def _with_value(option: str, value: str) -> str:
    if value in ("True", "False"):
        return option if value == "True" else f"no {option}"
    listed = ast.literal_eval(value) if value[0] in "['\"" else value
    return " ".join(f"{option} {shlex.quote(part)}" for part in (listed if isinstance(listed, list) else [listed]))
