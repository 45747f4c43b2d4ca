"""Standard streams that take any text, whatever their encoding: a Windows console, a pipe in a job, ``LC_ALL=C``."""

from __future__ import annotations

import codecs
import sys

# What the commands print beyond ASCII; each stands for one character, so that the columns of tables stay aligned.
_ALTERNATIVES = {
    "✓": "+",
    "✗": "x",
    "↑": "^",
    "↓": "v",
    "→": ">",
    "–": "-",
    "−": "-",
    "×": "x",
    "·": ",",
    "…": ".",
    "\N{NO-BREAK SPACE}": " ",
}
_HANDLER = "catran_causalbench.alternatives"


def accept_any_text() -> None:
    """Have the standard streams replace what their encoding cannot hold, where Python would raise an error.

    Our own signs become similar ones; of other characters, as in names of genes and files, the code is written.
    """
    codecs.register_error(_HANDLER, _replacement)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a notebook's streams take any text anyway
            stream.reconfigure(errors=_HANDLER)


def takes_unicode() -> bool:
    """Return whether the standard output can hold every character."""
    return (getattr(sys.stdout, "encoding", None) or "utf-8").lower().startswith("utf")


def _replacement(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)  # these streams only write
    text = error.object[error.start : error.end]
    known = (_ALTERNATIVES.get(sign) or sign.encode("ascii", "backslashreplace").decode("ascii") for sign in text)
    return "".join(known), error.end
