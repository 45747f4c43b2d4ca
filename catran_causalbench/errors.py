"""The errors that the package raises for its users."""

from __future__ import annotations


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
