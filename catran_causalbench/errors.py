"""The errors that the package raises for its users, and its warnings."""

from __future__ import annotations

import contextlib
import os
import sys
import warnings

# Code that no user wrote: this package, and what Python puts between its functions.
_NOT_THE_USERS = (os.path.dirname(__file__) + os.sep, contextlib.__file__)


class InputError(ValueError):
    """Input that cannot be used; the message names the field, what was found and what was expected."""

    @classmethod
    def of(cls, field: str, found: str, expected: str) -> InputError:
        """Make an error with the common form of message."""
        return cls(f"{field}: found {found}; expected {expected}")


class TrainingError(RuntimeError):
    """Training that cannot continue; the message says where it stopped and what to try."""


class DownloadError(RuntimeError):
    """A file that cannot be downloaded; the message says which, why, and what is kept for the next attempt."""


def warn(message: str) -> None:
    """Warn the user, who is shown the line of their own code that called this package."""
    frame, level = sys._getframe(), 1
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_NOT_THE_USERS):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, stacklevel=level)
