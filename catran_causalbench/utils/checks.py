"""One check of a checklist, as ``doctor`` and ``check-submission`` print them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """One line of a checklist.

    Attributes
    ----------
    name
        What was checked.
    passed
        Whether it is as it should be; None where that was not checked or does not matter.
    found
        What is there.
    advice
        What to do; empty where there is nothing to do.
    """

    name: str
    passed: bool | None
    found: str
    advice: str = ""
