"""A short representation, in a terminal and in a notebook, for objects whose arrays would fill pages."""

from __future__ import annotations

from html import escape


class Described:
    """Show the name of the class and what ``describe`` returns; a dataclass needs ``repr=False`` for it."""

    def describe(self) -> str:
        """Return the size and kind of the content, in one line without a full stop."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"{type(self).__name__}: {self.describe()}."

    def _repr_html_(self) -> str:
        return f"<div><b>{type(self).__name__}</b><br>{escape(self.describe())}</div>"
