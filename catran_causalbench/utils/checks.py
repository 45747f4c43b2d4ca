"""One check of a checklist, as ``doctor`` and ``check-submission`` print them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """What was checked, whether it passed, what was found, and what to do about it.

    ``passed`` is None where that was not checked or does not matter; ``advice`` is empty where there is nothing to do.
    """

    name: str
    passed: bool | None
    found: str
    advice: str = ""
