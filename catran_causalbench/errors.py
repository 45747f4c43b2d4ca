"""The errors that a user can meet."""

from __future__ import annotations


class InputError(ValueError):
    """Input that cannot be used; the message names the field, what was found and what was expected."""

    @classmethod
    def of(cls, field: str, found: str, expected: str) -> InputError:
        """Make an error whose message has the form that all of them share."""
        return cls(f"{field}: found {found}; expected {expected}")


class TrainingError(RuntimeError):
    """Training that cannot go on; the message says where it stopped and what to try."""


class DownloadError(RuntimeError):
    """A file that cannot be downloaded; the message says which, why, and what is kept for the next try."""
