"""Validation of settings: dataclasses that check their fields and can be built from plain mappings.

A dataclass that inherits :class:`Validated` checks every field against its annotation and against the limits that
:func:`number` and :func:`choice` attach to it. :func:`from_mapping` builds such a dataclass, nested ones included, from
what YAML or JSON holds.
"""

from __future__ import annotations

import difflib
import math
import reprlib
import sys
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from pathlib import Path
from types import NoneType
from typing import Any, ClassVar, TypeVar, get_args, get_origin, get_type_hints

import numpy as np

from catran_causalbench.errors import InputError

Settings = TypeVar("Settings")

_KINDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text", Path: "a path"}


def number(
    default: float | Any = MISSING, low: float = -math.inf, high: float = math.inf, *, above_low: bool = False
) -> Any:
    """Declare a number between two limits, both included unless ``above_low`` excludes the lower one."""
    return field(default=default, metadata={"low": low, "high": high, "above_low": above_low})


def choice(*options: str) -> Any:
    """Declare a name out of several, the first by default."""
    return field(default=options[0], metadata={"options": options})


def choices(*options: str) -> Any:
    """Declare distinct names out of several, none by default."""
    return field(default=(), metadata={"options": options})


@dataclass(frozen=True)
class Validated:
    """A dataclass that checks its fields when it is made, and raises InputError naming its section and the field.

    NumPy's numbers become Python's, and lists become tuples, so that settings can be compared, hashed and written as
    JSON.
    """

    section: ClassVar[str] = ""

    def __post_init__(self) -> None:
        """Check every field."""
        hints = get_type_hints(type(self))
        for entry in fields(self):
            name = f"{self.section}.{entry.name}" if self.section else entry.name
            value = checked(name, getattr(self, entry.name), hints[entry.name], entry.metadata)
            object.__setattr__(self, entry.name, value)


def checked(name: str, value: Any, kind: Any, limits: Mapping[str, Any]) -> Any:
    """Return a value with the type of its annotation.

    Parameters
    ----------
    name, value
        What the user calls the value, and what the user set it to.
    kind
        The annotation: int, float, bool, str, Path, a dataclass, a tuple, list or dict of these, one of them or None,
        or Any.
    limits
        Metadata of the field, see :func:`number` and :func:`choice`.

    Raises
    ------
    InputError
        The value has another type or lies outside the limits.
    """
    value = plain(value)
    parts = get_args(kind)
    if NoneType in parts:
        return None if value is None else checked(name, value, parts[0], limits)
    origin = get_origin(kind)
    if kind is Any:  # a class of its own from Python 3.11 on
        return value
    if is_dataclass(kind):
        if not isinstance(value, kind):  # type: ignore[arg-type]
            raise InputError.of(name, _found(value), f"settings of the type {getattr(kind, '__name__', kind)}")
        return value
    if origin in (tuple, list):
        if isinstance(value, str) or not isinstance(value, list | tuple):
            raise InputError.of(name, _found(value), "a list")
        entries = [checked(name, entry, parts[0], limits) for entry in value]
        if origin is tuple and len(set(entries)) < len(entries):
            raise InputError.of(name, shown(value), "distinct values")
        return origin(entries)
    if origin is dict:
        if not isinstance(value, Mapping):
            raise InputError.of(name, _found(value), "a mapping")
        return {key: checked(f"{name}.{key}", entry, parts[1], {}) for key, entry in value.items()}
    accepted: tuple[type, ...] = {float: (int, float), Path: (str, Path)}.get(kind, (kind,))
    if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
        hint = " (YAML reads 1e-3 as text; write 1.0e-3)" if kind is float and isinstance(value, str) else ""
        raise InputError.of(name, _found(value), _KINDS[kind] + hint)
    _check_limits(name, value, limits, _KINDS[kind])
    return kind(value) if kind in (float, Path) else value


def from_mapping(kind: type[Settings], values: Any, origin: str, prefix: str = "") -> Settings:
    """Build a dataclass from nested mappings; keys that are left out keep their defaults.

    Messages begin with ``origin``, where the values come from, and name keys with ``prefix``, the names of the sections
    around them, each followed by a dot.

    Raises
    ------
    InputError
        For unknown and missing keys, wrong types and values out of range.
    """
    known = {entry.name: entry for entry in fields(kind)}  # type: ignore[arg-type]
    check_keys(values, known, origin, prefix)
    hints = get_type_hints(kind)
    for name, entry in known.items():
        if name not in values and entry.default is MISSING and entry.default_factory is MISSING:
            raise InputError.of(origin, f"no key {prefix}{name}", "it")
    built = {name: _built(hints[name], value, origin, f"{prefix}{name}.") for name, value in values.items()}
    try:
        return kind(**built)
    except InputError as error:
        message = str(error)
        raise InputError(message if message.startswith(f"{origin}: ") else f"{origin}: {message}") from None


def check_keys(values: Any, known: Any, origin: str, prefix: str = "") -> None:
    """Raise InputError unless values are a mapping without unknown keys, and suggest the nearest known key."""
    if not isinstance(values, Mapping):
        found = f"{_found(values)} for {prefix.rstrip('.') or 'the file'}"
        raise InputError.of(origin, found, f"a mapping with keys {', '.join(known)}")
    for key in values:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1) if isinstance(key, str) else []
            expected = f"{prefix}{near[0]}, perhaps" if near else f"one of {', '.join(known)}"
            name = shown(key).strip("'")
            raise InputError.of(origin, f"unknown key {prefix}{name}", expected)


def plain(value: Any) -> Any:
    """Return NumPy's scalars and arrays as Python's, whose text is what users wrote, also those in a list or tuple.

    Lists in lists are left as they are: YAML has lists that contain themselves.
    """
    if type(value) in (list, tuple):
        return type(value)(_python(entry) for entry in value)
    return _python(value)


def _python(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.generic | np.ndarray) else value


def shown(value: Any) -> str:
    """Return the beginning of a value's text: with YAML's aliases a few lines of a file can stand for gigabytes."""
    shortener = _PlainRepr()
    shortener.maxlevel, shortener.maxstring, shortener.maxother, shortener.maxlong = 2, 200, 200, 40
    return shortener.repr(value)


class _PlainRepr(reprlib.Repr):
    """Show NumPy's numbers and texts like Python's."""

    def repr1(self, x: Any, level: int) -> str:
        return super().repr1(plain(x), level)


def _built(kind: Any, value: Any, origin: str, prefix: str) -> Any:
    """Build the dataclass that a field holds, if any; other values are checked when the outer dataclass is made."""
    parts = (kind, *get_args(kind))
    section = next((part for part in parts if is_dataclass(part)), None)
    if section is None or (value is None and NoneType in parts):
        return value
    return from_mapping(section, value, origin, prefix)  # type: ignore[arg-type]


def _found(value: Any) -> str:
    return f"{type(value).__name__} {shown(value)}"


def _check_limits(name: str, value: Any, limits: Mapping[str, Any], kind: str) -> None:
    if "options" in limits and value not in limits["options"]:
        raise InputError.of(name, shown(value), f"one of {', '.join(limits['options'])}")
    if "low" in limits:
        low, high, above_low = limits["low"], limits["high"], limits["above_low"]
        if not (low < value if above_low else low <= value) or not value <= min(high, sys.float_info.max):
            lower = f"above {low:g}" if above_low else f"at least {low:g}"
            upper = "" if math.isinf(high) else f" and at most {high:g}"
            raise InputError.of(name, shown(value), f"{kind} {lower}{upper}")
