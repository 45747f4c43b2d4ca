"""A thing that was looked at, and what to do where it is not as it should be."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """One line of a checklist.

    Attributes
    ----------
    name
        What was looked at.
    passed
        Whether it is as it should be; none where that was not looked at or does not matter.
    found
        What is there.
    advice
        What to do; empty where there is nothing to do.
    """

    name: str
    passed: bool | None
    found: str
    advice: str = ""
